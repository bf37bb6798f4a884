"""Manifests and tags: what a push ends with and a pull begins with.

OCI Distribution 1.1, "Pushing Manifests", "Content Management". The bytes go to storage first;
then one transaction checks that everything referred to is there, asks the gates, and writes the
manifest, its references, its tags and their history.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from longshore.db.database import Connection, Database
from longshore.http.ranges import matches_etag
from longshore.oci import mediatypes
from longshore.oci.digest import Digest
from longshore.oci.errors import (
    DigestInvalid,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
    NameUnknown,
    PreconditionFailed,
)
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry import store
from longshore.registry.model import StoredManifest
from longshore.registry.policy import Push, PushGate
from longshore.registry.resolution import Resolution
from longshore.registry.validation import ManifestValidation, refuse_missing
from longshore.storage import layout
from longshore.storage.driver import PathNotFound, StorageDriver
from longshore.telemetry import clock


@dataclass(frozen=True, slots=True)
class Preconditions:
    """``If-Match`` and ``If-None-Match`` of a PUT to a tag: protection against lost updates."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, tag: Tag, current: str | None) -> None:
        """Raise PreconditionFailed unless the tag's current digest (None: no tag) fits."""
        if self.if_match is not None and not (current and matches_etag(self.if_match, current)):
            raise PreconditionFailed(
                f"tag {tag!r} is at {current or 'no digest'}, not at {self.if_match[:100]}: "
                "somebody moved it; look again before overwriting",
                detail={"tag": tag, "current": current},
            )
        if current and matches_etag(self.if_none_match, current):
            raise PreconditionFailed(
                f"tag {tag!r} exists already, at {current}", detail={"tag": tag, "current": current}
            )


class Manifests:
    """The use cases of manifests and tags, for one process."""

    def __init__(
        self,
        database: Database,
        driver: StorageDriver,
        resolution: Resolution,
        validation: ManifestValidation,
        gates: Sequence[PushGate] = (),
    ) -> None:
        self._database = database
        self._driver = driver
        self._resolution = resolution
        self._gates = tuple(gates)
        self.validation = validation

    async def get(self, name: RepositoryName, reference: Tag | Digest) -> StoredManifest:
        """Raises NameUnknown or ManifestUnknown."""
        found = await self._resolution.manifest(name, reference)
        if found is None:
            raise await self._unknown(name, reference)
        return found

    async def content(self, name: RepositoryName, manifest: StoredManifest) -> bytes:
        """The bytes. Raises ManifestUnknown when storage has lost them: a push heals that."""
        try:
            return await self._resolution.content(manifest)
        except PathNotFound as error:
            raise ManifestUnknown(
                f"the bytes of manifest {manifest.digest} of {name!r} are missing from storage: "
                "push the image again"
            ) from error

    async def put(
        self,
        push: Push,
        preconditions: Preconditions,
    ) -> None:
        """Store the manifest under its digest and its tags.

        Raises ManifestBlobUnknown, PreconditionFailed, or what a gate refuses with.
        """
        needed = [entry.digest for entry in self.validation.required(push.manifest)]
        missing = await self._database.read(
            partial(store.missing_references, name=push.repository, digests=needed)
        )
        if missing:
            raise refuse_missing(push.repository, push.manifest, missing)
        await self._driver.write(layout.blob(push.digest), push.manifest.raw)
        now = clock.timestamp()

        def write(connection: Connection) -> None:
            gone = store.missing_references(connection, push.repository, needed)
            if gone:
                raise refuse_missing(push.repository, push.manifest, gone)
            for gate in self._gates:
                gate.check(connection, push)
            repository = store.put_manifest(
                connection, push.repository, push.digest, push.manifest, now
            )
            for tag in push.tags:
                preconditions.check(tag, store.tag_digest(connection, repository, tag))
                store.put_tag(connection, repository, tag, push.digest, push.actor, now)
                _adopt_fallback(connection, repository, tag, push.manifest)

        await self._database.write(write)
        self._resolution.keep(push.digest, push.manifest.raw)

    async def delete(self, name: RepositoryName, reference: Tag | Digest, actor: str) -> None:
        """A tag: only untag. A digest: the manifest and every tag on it.

        Raises NameUnknown or ManifestUnknown.
        """
        now = clock.timestamp()
        if isinstance(reference, Digest):
            removed = await self._database.write(
                partial(store.delete_manifest, name=name, digest=reference, actor=actor, now=now)
            )
        else:
            removed = await self._database.write(
                partial(store.delete_tag, name=name, tag=reference, actor=actor, now=now)
            )
        if not removed:
            raise await self._unknown(name, reference)

    def parse(self, raw: bytes | None, content_type: str) -> Manifest:
        """Understand a request body (None: it was larger than allowed).

        Raises ManifestTooLarge or ManifestInvalid.
        """
        limit = self.validation.max_size
        if raw is None:
            raise ManifestTooLarge(
                f"the manifest is larger than the {limit} bytes that this registry accepts "
                "(longshore.manifests.maxsize)",
                detail={"limit": limit},
            )
        if not raw:
            raise ManifestInvalid("the request has no body: a manifest was expected")
        return Manifest.parse(raw, content_type)

    async def _unknown(self, name: RepositoryName, reference: Tag | Digest) -> Exception:
        if await self._database.read(partial(store.repository_id, name=name)) is None:
            return NameUnknown(
                f"repository {name!r} is not known to this registry", detail={"name": name}
            )
        what = "manifest" if isinstance(reference, Digest) else "tag"
        return ManifestUnknown(
            f"{what} {reference!r} is not known in repository {name!r}",
            detail={"name": name, what: reference},
        )


def digest_for(raw: bytes, reference: Tag | Digest) -> Digest:
    """The digest to store ``raw`` under. Raises DigestInvalid if ``reference`` is another's."""
    if not isinstance(reference, Digest):
        return Digest.of(raw)
    actual = Digest.of(raw, reference.algorithm)
    if not actual.matches(reference):
        raise DigestInvalid(
            f"the manifest's digest is {actual}, not {reference} as the path says",
            detail={"expected": reference, "actual": actual},
        )
    return actual


def _adopt_fallback(connection: Connection, repository: int, tag: Tag, manifest: Manifest) -> None:
    """A client that does not know the referrers API keeps the list itself, in an index under a tag
    made of the subject's digest (Distribution 1.1, "Referrers Tag Schema"). Take that list over."""
    if not tag.is_referrers_fallback or manifest.media_type != mediatypes.OCI_INDEX:
        return
    algorithm, _, hexadecimal = tag.partition("-")
    if algorithm != "sha256":
        return  # the tag holds only half of a sha512 digest: the subject cannot be told from it
    subject = Digest(f"{algorithm}:{hexadecimal}")
    children = [child.digest for child in manifest.children]
    store.adopt_fallback_referrers(connection, repository, subject, children)
