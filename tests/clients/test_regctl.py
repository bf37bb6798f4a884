"""regctl: chunked uploads, referrers, and the strictest reader of the specification."""

import json
import secrets
from pathlib import Path

import pytest

from tests.services.images import digest_of, multi_platform_image, single_image
from tests.services.programs import Shell
from tests.services.registries import ALICE, Registry

pytestmark = pytest.mark.service


def set_up(shell: Shell, registry: Registry, *options: str) -> None:
    """Tell regctl how to reach the registry, and log in."""
    if registry.authority:
        tls = ["--tls=enabled", f"--cacert={registry.authority.certificate.read_text()}"]
    else:
        tls = ["--tls=disabled"]
    shell("regctl", "registry", "set", registry.host, "--skip-check", *tls, *options)
    if registry.login:
        login = ["registry", "login", registry.host, "-u", registry.login.user, "--pass-stdin"]
        shell("regctl", *login, stdin=registry.login.password)


def test_an_index_is_copied_into_the_registry_and_out_again(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    set_up(shell, registry)
    digest, images = multi_platform_image(tmp_path / "image")
    reference = f"{registry.host}/{repository}:v1"

    shell("regctl", "image", "copy", f"ocidir://{tmp_path / 'image'}:latest", reference)
    shell("regctl", "image", "copy", reference, f"ocidir://{tmp_path / 'back'}:latest")

    assert shell("regctl", "image", "digest", reference).out.strip() == digest
    child = shell("regctl", "image", "digest", "--platform=linux/arm64", reference)
    assert child.out.strip() == images["arm64"]
    back = shell("regctl", "image", "digest", f"ocidir://{tmp_path / 'back'}:latest")
    assert back.out.strip() == digest


def test_a_blob_is_pushed_in_chunks(shell: Shell, registry: Registry, repository: str) -> None:
    set_up(shell, registry, "--blob-chunk=100000", "--blob-max=100000")
    content = secrets.token_bytes(1_050_000)
    name = f"{registry.host}/{repository}"

    pushed = shell("regctl", "blob", "put", name, stdin=content).out.strip()
    shell("regctl", "blob", "head", name, pushed)

    with registry.client() as client:
        back = client.get(f"/v2/{repository}/blobs/{pushed}")
    assert pushed == digest_of(content)
    assert back.content == content


def test_tags_and_repositories_are_listed_page_by_page(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    set_up(shell, registry)
    single_image(tmp_path / "image")
    name = f"{registry.host}/{repository}"
    for tag in ("a", "b", "c"):
        shell("regctl", "image", "copy", f"ocidir://{tmp_path / 'image'}:latest", f"{name}:{tag}")

    assert shell("regctl", "tag", "ls", name).out.split() == ["a", "b", "c"]
    assert shell("regctl", "tag", "ls", "--limit=2", name).out.split() == ["a", "b"]
    assert shell("regctl", "tag", "ls", "--limit=2", "--last=b", name).out.split() == ["c"]
    assert repository in shell("regctl", "repo", "ls", registry.host).out.split()


def test_a_tag_is_deleted_and_its_image_stays(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    set_up(shell, registry)
    digest = single_image(tmp_path / "image")
    name = f"{registry.host}/{repository}"
    for tag in ("a", "b"):
        shell("regctl", "image", "copy", f"ocidir://{tmp_path / 'image'}:latest", f"{name}:{tag}")

    shell("regctl", "tag", "delete", f"{name}:a")

    assert shell("regctl", "tag", "ls", name).out.split() == ["b"]
    assert shell("regctl", "image", "digest", f"{name}@{digest}").out.strip() == digest


def test_a_manifest_is_deleted_by_digest(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    set_up(shell, registry)
    digest = single_image(tmp_path / "image")
    name = f"{registry.host}/{repository}"
    shell("regctl", "image", "copy", f"ocidir://{tmp_path / 'image'}:latest", f"{name}:a")

    shell("regctl", "manifest", "delete", f"{name}@{digest}")

    assert "not found" in shell.refused("regctl", "manifest", "head", f"{name}:a").err


def test_an_artifact_is_found_by_the_image_it_belongs_to(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    set_up(shell, registry)
    digest = single_image(tmp_path / "image")
    name = f"{registry.host}/{repository}"
    shell("regctl", "image", "copy", f"ocidir://{tmp_path / 'image'}:latest", f"{name}:a")

    for kind in ("application/vnd.test.sbom", "application/vnd.test.signature"):
        put = ["artifact", "put", f"--artifact-type={kind}", f"--subject={name}:a"]
        shell("regctl", *put, "--annotation=by=regctl", stdin=kind)

    listing = ["artifact", "list", f"{name}@{digest}", "--format={{json .Descriptors}}"]
    found = json.loads(shell("regctl", *listing).out)
    filtered = json.loads(
        shell("regctl", *listing, "--filter-artifact-type=application/vnd.test.sbom").out
    )
    assert {each["artifactType"] for each in found} == {
        "application/vnd.test.sbom",
        "application/vnd.test.signature",
    }
    assert [each["annotations"] for each in filtered] == [{"by": "regctl"}]
    # The registry keeps referrers by itself: no fallback tag was needed.
    assert shell("regctl", "tag", "ls", name).out.split() == ["a"]


def test_an_image_is_copied_with_its_referrers(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    set_up(shell, registry)
    single_image(tmp_path / "image")
    source, target = (f"{registry.host}/{repository}{end}:a" for end in ("", "/copy"))
    shell("regctl", "image", "copy", f"ocidir://{tmp_path / 'image'}:latest", source)
    put = ["artifact", "put", "--artifact-type=application/vnd.test.sbom", f"--subject={source}"]
    shell("regctl", *put, stdin="sbom")

    shell("regctl", "image", "copy", "--referrers", source, target)

    copied = shell("regctl", "artifact", "get", f"--subject={target}")
    assert copied.out == "sbom"


def test_a_wrong_password_is_refused(shell: Shell, secure_registry: Registry) -> None:
    assert secure_registry.authority
    authority = f"--cacert={secure_registry.authority.certificate.read_text()}"
    shell("regctl", "registry", "set", secure_registry.host, "--skip-check", authority)

    login = ["registry", "login", secure_registry.host, "-u", ALICE.user, "-p", "guess"]

    assert "unauthorized" in shell.refused("regctl", *login).err


def test_a_certificate_of_an_unknown_authority_is_refused(
    shell: Shell, secure_registry: Registry
) -> None:
    answer = shell.refused("regctl", "repo", "ls", secure_registry.host)

    assert "certificate signed by unknown authority" in answer.err
