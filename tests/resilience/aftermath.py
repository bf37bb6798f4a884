"""What must be true after a crash, looked at through every door: the API, the directory, the rows."""

import hashlib
from pathlib import Path

import httpx
from sqlalchemy import create_engine, text

from tests.resilience.ledger import Ledger
from tests.resilience.storm import children
from tests.services.images import digest_of

BLOBS = Path("docker/registry/v2/blobs")
STAGING = Path("longshore+staging")


def check_api(client: httpx.Client, ledger: Ledger) -> None:
    """Everything acknowledged is served; every tag is at a push that may be the last; and whatever
    a listed tag leads to is there and is what its digest says."""
    reader = _Reader(client)
    for repository, digest in ledger.blobs:
        reader.blob(repository, digest)
    for (repository, digest), content in ledger.manifests.items():
        assert reader.manifest(repository, digest)[1] == content
    listed = {
        (repository, tag)
        for repository in client.get("/v2/_catalog").json()["repositories"]
        for tag in client.get(f"/v2/{repository}/tags/list").json()["tags"]
    }
    assert ledger.certain_tags <= listed
    for repository, tag in listed:
        digest = reader.image(repository, tag)
        assert digest in ledger.candidates(repository, tag), f"{repository}:{tag} is at {digest}"


class _Reader:
    """Reads everything once, and checks its digest."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._seen: set[tuple[str, str]] = set()

    def blob(self, repository: str, digest: str) -> None:
        if (repository, digest) not in self._seen:
            self._seen.add((repository, digest))
            answer = self._client.get(f"/v2/{repository}/blobs/{digest}")
            assert answer.status_code == httpx.codes.OK, f"{repository}: {answer.text}"
            assert digest_of(answer.content) == digest

    def manifest(self, repository: str, reference: str) -> tuple[str, bytes]:
        answer = self._client.get(f"/v2/{repository}/manifests/{reference}")
        assert answer.status_code == httpx.codes.OK, f"{repository}: {answer.text}"
        digest = digest_of(answer.content)
        assert answer.headers["Docker-Content-Digest"] == digest
        return digest, answer.content

    def image(self, repository: str, reference: str) -> str:
        digest, content = self.manifest(repository, reference)
        manifests, blobs = children(content)
        for blob in blobs:
            self.blob(repository, blob)
        for manifest in manifests:
            assert self.image(repository, manifest) == manifest
        return digest


def check_directory(root: Path) -> set[str]:
    """Every object is whole: its bytes have the digest that its name says. The digests there are."""
    digests = set()
    for file in (root / BLOBS).rglob("*"):
        if file.is_file():
            assert file.name == "data", f"{file} is no object"
            with file.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            assert found == file.parent.name, f"{file} holds other bytes"
            digests.add(f"sha256:{found}")
    return digests


def check_rows(database_url: str, stored: set[str], root: Path) -> None:
    """Every row that says that bytes exist has them."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        blobs = connection.execute(text("SELECT digest, size FROM blobs")).all()
        manifests = connection.execute(text("SELECT digest, size FROM manifests")).all()
        dangling = connection.execute(
            text(
                "SELECT tags.name FROM tags LEFT JOIN manifests"
                " ON manifests.repository_id = tags.repository_id"
                " AND manifests.digest = tags.digest WHERE manifests.id IS NULL"
            )
        ).all()
    engine.dispose()
    assert not dangling
    for digest, size in [*blobs, *manifests]:
        assert digest in stored
        hexadecimal = digest.removeprefix("sha256:")
        file = root / BLOBS / "sha256" / hexadecimal[:2] / hexadecimal / "data"
        assert file.stat().st_size == size


def count_uploads(database_url: str) -> int:
    """Sessions that the database knows."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        found: int = connection.execute(text("SELECT count(*) FROM uploads")).scalar_one()
    engine.dispose()
    return found


def staged_files(root: Path, kind: str = "*") -> list[Path]:
    """Files of the staging directory: below ``uploads``, below ``writes``, or all."""
    return [file for file in (root / STAGING).glob(f"{kind}/**/*") if file.is_file()]
