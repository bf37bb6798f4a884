"""Two servers over one PostgreSQL database and one storage: any of them takes any request."""

import secrets
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.clients import wire
from tests.services.images import MANIFEST, digest_of, multi_platform_image
from tests.services.programs import Shell
from tests.services.registries import ALICE, Login, Registry, RegistryFactory

pytestmark = pytest.mark.service

StartNode = Callable[..., Registry]


@pytest.fixture
def start_node(registry_factory: RegistryFactory, postgres_url: str, tmp_path: Path) -> StartNode:
    """Starts one more server of the same registry."""
    shared = {
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "shared")}},
        "http": {"secret": "the same everywhere"},
        "longshore": {"database": {"url": postgres_url}},
    }

    def start(login: Login | None = None) -> Registry:
        return registry_factory(shared, login=login)

    return start


def test_an_upload_moves_from_server_to_server(start_node: StartNode, repository: str) -> None:
    content = secrets.token_bytes(3 << 20)
    third = len(content) // 3
    with start_node().client() as one, start_node().client() as two:
        location = wire.start_upload(one, repository)
        location = two.patch(location, content=content[:third]).headers["Location"]
        assert two.get(location).headers["Range"] == f"0-{third - 1}"
        location = one.patch(location, content=content[third : 2 * third]).headers["Location"]
        digest = digest_of(content)
        done = two.put(wire.with_query(location, digest=digest), content=content[2 * third :])
        back = one.get(f"/v2/{repository}/blobs/{digest}")

    assert done.status_code == httpx.codes.CREATED, done.text
    assert back.content == content


def test_a_tag_is_the_same_on_every_server_at_once(start_node: StartNode, repository: str) -> None:
    seen = []
    with start_node().client() as one, start_node().client() as two:
        for number in range(10):
            writer, reader = (one, two) if number % 2 else (two, one)
            config = wire.blob_descriptor(writer, repository, b"{}", f"application/x{number}")
            manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
            pushed = wire.push_manifest(writer, repository, manifest, "latest")
            found = reader.head(f"/v2/{repository}/manifests/latest")
            seen.append(found.headers["Docker-Content-Digest"] == pushed["digest"])
        one.delete(f"/v2/{repository}/manifests/latest")
        gone = two.get(f"/v2/{repository}/manifests/latest")

    assert all(seen)
    assert gone.status_code == httpx.codes.NOT_FOUND


def test_clients_push_and_pull_through_a_balancer_that_remembers_nobody(
    shell: Shell,
    start_node: StartNode,
    behind_nginx: Callable[..., Registry],
    repository: str,
    tmp_path: Path,
) -> None:
    digest, _ = multi_platform_image(tmp_path / "image")
    balanced = behind_nginx(start_node(ALICE), start_node(ALICE))
    assert balanced.authority
    trust = ["--tls=enabled", f"--cacert={balanced.authority.certificate.read_text()}"]
    chunks = ["--blob-chunk=40", "--blob-max=40"]
    shell("regctl", "registry", "set", balanced.host, "--skip-check", *trust, *chunks)
    login = ["registry", "login", balanced.host, "-u", ALICE.user, "--pass-stdin"]
    shell("regctl", *login, stdin=ALICE.password)
    reference = f"{balanced.host}/{repository}:v1"

    shell("regctl", "image", "copy", f"ocidir://{tmp_path / 'image'}:latest", reference)
    shell("regctl", "image", "copy", reference, f"ocidir://{tmp_path / 'back'}:latest")

    back = shell("regctl", "image", "digest", f"ocidir://{tmp_path / 'back'}:latest")
    assert back.out.strip() == digest
