"""From Debian's docker-registry to Longshore and back, in place, with real clients all the way."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.adoption.test_command import longshore
from tests.services.certificates import Authority
from tests.services.images import multi_platform_image, single_image
from tests.services.programs import Shell, program
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service

NAMES = ("team/app", "team/app/nested", "artifacts")
PLAIN = "--src-tls-verify=false", "--dest-tls-verify=false"


@pytest.fixture
def distribution(tmp_path: Path, authority: Authority) -> Iterator[RegistryFactory]:
    """Starts Debian's docker-registry."""
    factory = RegistryFactory(tmp_path / "distribution", authority, program("docker-registry"))
    yield factory
    factory.close()


@dataclass(frozen=True)
class Served:
    """What a registry answers for a tag."""

    digest: str
    media_type: str
    content: bytes


def everything(registry: Registry) -> dict[str, Served]:
    """Every tag of every repository."""
    found = {}
    with registry.client() as client:
        for name in client.get("/v2/_catalog").json()["repositories"]:
            for tag in client.get(f"/v2/{name}/tags/list").json()["tags"] or []:
                answer = client.get(f"/v2/{name}/manifests/{tag}")
                assert answer.status_code == 200, answer.text
                digest = answer.headers["docker-content-digest"]
                served = Served(digest, answer.headers["content-type"], answer.content)
                found[f"{name}:{tag}"] = served
    return found


def test_every_tag_is_the_same_on_the_way_there_and_on_the_way_back(
    distribution: RegistryFactory, registry_factory: RegistryFactory, shell: Shell, tmp_path: Path
) -> None:
    def copy(source: str, destination: str) -> None:
        shell("skopeo", "copy", "--all", "--insecure-policy", *PLAIN, source, destination)

    def put(registry: Registry, layout: str, target: str) -> None:
        copy(f"oci:{tmp_path / layout}", f"docker://{registry.host}/{target}")

    single_image(tmp_path / "single", {"one": b"1"})
    multi_platform_image(tmp_path / "multi")
    single_image(tmp_path / "newer", {"two": b"2"})
    (shell.home / "sbom.json").write_text("{}")

    # Pushed to distribution by skopeo and oras, which keeps referrers under a fallback tag there.
    old = distribution()
    put(old, "single:latest", "team/app:v1")
    put(old, "single:latest", "team/app:latest")
    put(old, "single:latest", "team/app:doomed")
    put(old, "multi:latest", "team/app/nested:multi")
    subject = f"{old.host}/team/app:v1"
    attach = ("oras", "attach", "--plain-http", "--artifact-type=application/vnd.test.sbom")
    shell(*attach, subject, "sbom.json:application/json")
    before = everything(old)
    distribution.stop(old)
    config = old.directory / "config.yml"

    # Longshore in its place: the same tags, and referrers under their own address.
    longshore("adopt", config)
    new = registry_factory(directory=old.directory)
    assert everything(new) == before
    digest = before["team/app:v1"].digest
    discovered = shell("oras", "discover", "--plain-http", f"{new.host}/team/app@{digest}").out
    assert "application/vnd.test.sbom" in discovered
    copy(f"docker://{new.host}/team/app/nested:multi", f"oci:{tmp_path / 'pulled'}:multi")
    put(new, "newer:latest", "team/app:latest")
    put(new, "newer:latest", "fresh/app:v1")
    fresh = f"{new.host}/fresh/app:v1"
    shell(*attach, fresh, "sbom.json:application/json")
    with new.client() as client:
        gone = before["team/app/nested:multi"].digest
        for path in ("team/app/manifests/doomed", f"team/app/nested/manifests/{gone}"):
            assert client.delete(f"/v2/{path}").status_code == 202
    meanwhile = everything(new)
    longshore("adopt", config, "--wait")
    assert everything(new) == meanwhile
    assert meanwhile["team/app:v1"] == before["team/app:v1"]
    registry_factory.stop(new)

    # And back: distribution serves what Longshore did, and nothing that was deleted.
    said = longshore("export-links", config)
    assert "repositories written back" in said
    back = distribution(directory=old.directory)
    served = everything(back)
    lists = {tag for tag in served if ":sha256-" in tag and tag not in meanwhile}
    assert {tag: found for tag, found in served.items() if tag not in lists} == meanwhile
    [fallback] = lists
    assert fallback.startswith("fresh/app:sha256-")
    discovered = shell("oras", "discover", "--plain-http", f"{back.host}/fresh/app:v1").out
    assert "application/vnd.test.sbom" in discovered
    assert "team/app:doomed" not in meanwhile
    for tag in ("team/app:latest", "fresh/app:v1"):
        copy(f"docker://{back.host}/{tag}", f"oci:{tmp_path / 'back'}:{tag.rpartition('/')[2]}")
    with back.client() as client:
        assert client.get(f"/v2/team/app/nested/manifests/{gone}").status_code == 404
    distribution.stop(back)
    longshore("adopt", config, "--check")
