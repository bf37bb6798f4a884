"""skopeo: the client that insists on a trusted certificate, even on loopback."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.services.images import multi_platform_image, single_image
from tests.services.programs import Shell
from tests.services.registries import ALICE, Registry

pytestmark = pytest.mark.service


def access(registry: Registry, shell: Shell, side: str = "") -> list[str]:
    """The options that let skopeo talk to a registry; `side` is `src-` or `dest-` for a copy."""
    options = []
    if registry.authority:
        options.append(f"--{side}cert-dir={registry.authority.certificate.parent}")
    else:
        options.append(f"--{side}tls-verify=false")
    if registry.login:
        options.append(f"--{side}creds={registry.login.user}:{registry.login.password}")
    return options


def push(shell: Shell, registry: Registry, layout: Path, target: str, *more: str) -> None:
    """Copy the image `latest` of a layout to the registry."""
    source, destination = f"oci:{layout}:latest", f"docker://{registry.host}/{target}"
    shell("skopeo", "copy", *more, *access(registry, shell, "dest-"), source, destination)


def test_an_image_comes_back_with_the_digest_it_was_pushed_with(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    digest = single_image(tmp_path / "image")
    push(shell, registry, tmp_path / "image", f"{repository}:v1")

    reference = f"docker://{registry.host}/{repository}:v1"
    options = access(registry, shell)
    seen = shell("skopeo", "inspect", "--format={{.Digest}}", *options, reference).out.strip()
    source = access(registry, shell, "src-")
    shell("skopeo", "copy", *source, reference, f"oci:{tmp_path / 'back'}:latest")
    back = json.loads((tmp_path / "back" / "index.json").read_text())

    assert (seen, back["manifests"][0]["digest"]) == (digest, digest)


def test_an_image_is_converted_to_dockers_format_on_the_way(
    shell: Shell, open_registry: Registry, repository: str, tmp_path: Path
) -> None:
    single_image(tmp_path / "image")
    push(shell, open_registry, tmp_path / "image", f"{repository}:v1", "--format=v2s2")

    raw = shell(
        *("skopeo", "inspect", "--raw", *access(open_registry, shell)),
        f"docker://{open_registry.host}/{repository}:v1",
    )

    media_type = json.loads(raw.out)["mediaType"]
    assert media_type == "application/vnd.docker.distribution.manifest.v2+json"


def test_a_multi_platform_image_is_copied_whole(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    digest, images = multi_platform_image(tmp_path / "image")
    push(shell, registry, tmp_path / "image", f"{repository}:v1", "--all")

    source = f"docker://{registry.host}/{repository}:v1"
    target = f"docker://{registry.host}/{repository}-copy:v1"
    both = [*access(registry, shell, "src-"), *access(registry, shell, "dest-")]
    shell("skopeo", "copy", "--all", *both, source, target)
    raw = shell("skopeo", "inspect", "--raw", *access(registry, shell), target).out

    children = [child["digest"] for child in json.loads(raw)["manifests"]]
    assert children == list(images.values())
    assert shell("skopeo", "manifest-digest", "/dev/stdin", stdin=raw).out.strip() == digest


def test_tags_are_listed(shell: Shell, registry: Registry, repository: str, tmp_path: Path) -> None:
    single_image(tmp_path / "image")
    for tag in ("v1", "v2", "latest"):
        push(shell, registry, tmp_path / "image", f"{repository}:{tag}")

    listed = shell(
        *("skopeo", "list-tags", *access(registry, shell)),
        f"docker://{registry.host}/{repository}",
    )

    assert json.loads(listed.out)["Tags"] == ["latest", "v1", "v2"]


def test_a_deleted_image_is_gone(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    single_image(tmp_path / "image")
    push(shell, registry, tmp_path / "image", f"{repository}:v1")
    reference = f"docker://{registry.host}/{repository}:v1"

    shell("skopeo", "delete", *access(registry, shell), reference)

    answer = shell.refused("skopeo", "inspect", *access(registry, shell), reference)
    assert "manifest unknown" in answer.err


def test_a_login_is_kept_and_forgotten(
    shell: Shell, secure_registry: Registry, repository: str, tmp_path: Path
) -> None:
    single_image(tmp_path / "image")
    trusted = _trust(secure_registry)
    target = f"docker://{secure_registry.host}/{repository}:v1"
    copy = ["copy", f"--dest-cert-dir={trusted}", f"oci:{tmp_path / 'image'}:latest", target]

    login = ["login", f"--cert-dir={trusted}", "-u", ALICE.user, "--password-stdin"]
    shell("skopeo", *login, secure_registry.host, stdin=ALICE.password)
    shell("skopeo", *copy)
    shell("skopeo", "logout", secure_registry.host)

    assert "authentication required" in shell.refused("skopeo", *copy).err


def test_a_wrong_password_is_refused(shell: Shell, secure_registry: Registry) -> None:
    login = ["login", f"--cert-dir={_trust(secure_registry)}", "-u", ALICE.user, "-p", "guess"]

    answer = shell.refused("skopeo", *login, secure_registry.host)

    assert "invalid username/password" in answer.err


@pytest.mark.parametrize("command", [["list-tags"], ["inspect"]], ids=lambda c: c[0])
def test_a_certificate_of_an_unknown_authority_is_refused(
    shell: Shell, secure_registry: Registry, command: Sequence[str]
) -> None:
    reference = f"docker://{secure_registry.host}/any/image"

    answer = shell.refused("skopeo", *command, reference)

    assert "certificate signed by unknown authority" in answer.err


def _trust(registry: Registry) -> Path:
    """The directory from which skopeo and podman read the authority's certificate."""
    assert registry.authority
    return registry.authority.certificate.parent
