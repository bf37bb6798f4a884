"""crane, and with it ko and kaniko: go-containerregistry's way of talking to a registry."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.services.images import Layout, multi_platform_image, single_image
from tests.services.programs import Shell
from tests.services.registries import ALICE, Registry

pytestmark = pytest.mark.service


def trusting(shell: Shell, registry: Registry) -> Shell:
    """A shell in which programs written in Go trust the registry's authority."""
    if registry.authority is None:
        return shell
    return shell.with_env(SSL_CERT_FILE=str(registry.authority.certificate))


def log_in(shell: Shell, registry: Registry) -> Shell:
    """A shell in which crane may use the registry."""
    shell = trusting(shell, registry)
    if registry.login:
        login = ["auth", "login", "-u", registry.login.user, "--password-stdin"]
        shell("crane", *login, registry.host, stdin=registry.login.password)
    return shell


def test_a_pushed_image_is_complete(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    shell = log_in(shell, registry)
    digest = single_image(tmp_path / "image")
    reference = f"{registry.host}/{repository}:v1"

    shell("crane", "push", tmp_path / "image", reference)

    assert shell("crane", "digest", reference).out.strip() == digest
    shell("crane", "validate", "--remote", reference)


def test_an_image_is_pulled_as_an_archive_and_as_a_layout(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    shell = log_in(shell, registry)
    digest = single_image(tmp_path / "image")
    reference = f"{registry.host}/{repository}:v1"
    shell("crane", "push", tmp_path / "image", reference)

    shell("crane", "pull", reference, tmp_path / "image.tar")
    shell("crane", "pull", "--format=oci", reference, tmp_path / "back")

    shell("crane", "validate", "--tarball", tmp_path / "image.tar")
    back = json.loads((tmp_path / "back" / "index.json").read_text())
    assert back["manifests"][0]["digest"] == digest


def test_an_index_is_pushed_and_each_platform_is_found(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    shell = log_in(shell, registry)
    digest, images = multi_platform_image(tmp_path / "image")
    reference = f"{registry.host}/{repository}:v1"

    shell("crane", "push", tmp_path / "image", reference)

    assert shell("crane", "digest", reference).out.strip() == digest
    for architecture, image in images.items():
        found = shell("crane", "digest", f"--platform=linux/{architecture}", reference)
        assert found.out.strip() == image
    shell("crane", "validate", "--remote", reference)


def test_an_image_is_copied_to_another_repository_without_sending_its_layers(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    shell = log_in(shell, registry)
    digest = single_image(tmp_path / "image")
    source, target = (f"{registry.host}/{repository}{end}:v1" for end in ("", "/copy"))
    shell("crane", "push", tmp_path / "image", source)

    log = shell("crane", "copy", source, target).err

    assert shell("crane", "digest", target).out.strip() == digest
    assert "mounted blob" in log
    assert "pushed blob" not in log


def test_tags_and_repositories_are_listed(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    shell = log_in(shell, registry)
    single_image(tmp_path / "image")
    reference = f"{registry.host}/{repository}"
    shell("crane", "push", tmp_path / "image", f"{reference}:v1")
    shell("crane", "tag", f"{reference}:v1", "stable")

    assert shell("crane", "ls", reference).out.split() == ["stable", "v1"]
    assert repository in shell("crane", "catalog", registry.host).out.split()


def test_deleting_by_digest_removes_every_tag(
    shell: Shell, registry: Registry, repository: str, tmp_path: Path
) -> None:
    shell = log_in(shell, registry)
    digest = single_image(tmp_path / "image")
    reference = f"{registry.host}/{repository}"
    for tag in ("v1", "v2"):
        shell("crane", "push", tmp_path / "image", f"{reference}:{tag}")

    shell("crane", "delete", f"{reference}@{digest}")

    assert shell("crane", "ls", reference).out.split() == []
    assert "MANIFEST_UNKNOWN" in shell.refused("crane", "manifest", f"{reference}:v2").err


def test_deleting_by_tag_leaves_the_image(
    shell: Shell, open_registry: Registry, repository: str, tmp_path: Path
) -> None:
    digest = single_image(tmp_path / "image")
    reference = f"{open_registry.host}/{repository}"
    for tag in ("v1", "v2"):
        shell("crane", "push", tmp_path / "image", f"{reference}:{tag}")

    shell("crane", "delete", f"{reference}:v1")

    assert shell("crane", "ls", reference).out.split() == ["v2"]
    assert shell("crane", "digest", f"{reference}@{digest}").out.strip() == digest


def test_an_image_is_changed_in_place_and_extended(
    shell: Shell, open_registry: Registry, repository: str, tmp_path: Path
) -> None:
    single_image(tmp_path / "image")
    reference = f"{open_registry.host}/{repository}:v1"
    shell("crane", "push", tmp_path / "image", reference)

    shell("crane", "mutate", "--label=team=blue", reference, "--tag", reference)
    shell("tar", "-C", tmp_path / "image", "-cf", tmp_path / "extra.tar", "oci-layout")
    shell("crane", "append", "-b", reference, "-f", tmp_path / "extra.tar", "-t", reference)

    config = json.loads(shell("crane", "config", reference).out)
    assert config["config"]["Labels"] == {"team": "blue"}
    assert len(config["rootfs"]["diff_ids"]) == 3


def test_a_wrong_password_is_refused(shell: Shell, secure_registry: Registry) -> None:
    shell = trusting(shell, secure_registry)

    shell("crane", "auth", "login", "-u", ALICE.user, "-p", "guess", secure_registry.host)

    assert "UNAUTHORIZED" in shell.refused("crane", "catalog", secure_registry.host).err


def test_a_thousand_small_layers_are_pushed_in_parallel(
    shell: Shell, secure_registry: Registry, repository: str, tmp_path: Path
) -> None:
    """Twenty images of fifty layers; ten of the layers are the same in all of them."""
    shell = log_in(shell, secure_registry)
    shared = [{f"shared/{number}": str(number).encode() * 500} for number in range(10)]

    def push(image: int) -> None:
        layout = Layout(tmp_path / f"image{image}")
        own = [{f"own/{image}/{number}": f"{image}.{number}".encode()} for number in range(40)]
        layout.name("latest", layout.image(*shared, *own))
        target = f"{secure_registry.host}/{repository}/{image % 4}:{image}"
        shell("crane", "push", layout.path, target)

    def validate(image: int) -> None:
        target = f"{secure_registry.host}/{repository}/{image % 4}:{image}"
        shell("crane", "validate", "--remote", target)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(push, range(20)))
        list(pool.map(validate, range(20)))
