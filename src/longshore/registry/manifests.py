"""Manifests and tags: what a push ends with and a pull begins with.

OCI Distribution 1.1, "Pushing Manifests", "Content Management". The bytes go to storage first;
then one transaction checks that everything referred to is there, asks the gates, and writes the
manifest, its references, its tags and their history.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from longshore.db.database import Connection, Database
from longshore.db.generation import Generation
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
from longshore.outbox.model import Event, Origin
from longshore.outbox.recording import Outbox
from longshore.registry import store
from longshore.registry.events import ManifestDeleted, ManifestPushed, TagDeleted, TagMoved
from longshore.registry.model import Standing, StoredManifest
from longshore.registry.placing import home, keep_copy
from longshore.registry.policy import NO_GATES, Push, PushGate, StorageGates
from longshore.registry.reservation import Look, reserve
from longshore.registry.resolution import ContentDamaged, Resolution
from longshore.registry.validation import ManifestValidation, refuse_missing
from longshore.storage import layout
from longshore.storage.backends import DEFAULT, Backends
from longshore.storage.driver import PathNotFound
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
        backends: Backends,
        resolution: Resolution,
        validation: ManifestValidation,
        gates: Sequence[PushGate] = (),
        outbox: Outbox | None = None,
        storage_gates: StorageGates = NO_GATES,
    ) -> None:
        self._storage_gates = storage_gates
        self._database = database
        self._backends = backends
        self._resolution = resolution
        self._gates = tuple(gates)
        self._outbox = outbox or Outbox()
        self.validation = validation

    async def get(
        self, name: RepositoryName, reference: Tag | Digest, as_of: Generation | None = None
    ) -> StoredManifest:
        """``as_of`` as for :meth:`Resolution.manifest`. Raises NameUnknown or ManifestUnknown."""
        found = await self._resolution.manifest(name, reference, as_of)
        if found is None:
            raise await self._unknown(name, reference)
        return found

    async def content(self, name: RepositoryName, manifest: StoredManifest) -> bytes:
        """The bytes. Raises ManifestUnknown when storage has lost or spoilt them: a push heals that."""
        try:
            return await self._resolution.content(manifest)
        except PathNotFound as error:
            raise ManifestUnknown(
                f"the bytes of manifest {manifest.digest} of {name!r} are missing from storage: "
                "push the image again"
            ) from error
        except ContentDamaged as error:
            raise _damaged(name, manifest.digest) from error

    async def put(
        self,
        push: Push,
        preconditions: Preconditions,
    ) -> Sequence[str]:
        """Store the manifest under its digest and its tags. What the client should be warned of.

        Raises ManifestBlobUnknown, PreconditionFailed, or what a gate refuses with.
        """
        await self._resolution.complete(push.repository)
        needed = [entry.digest for entry in self.validation.required(push.manifest)]

        def look(connection: Connection) -> tuple[set[Digest], Standing]:
            missing = store.missing_references(connection, push.repository, needed)
            return missing, store.blob_standing(connection, push.digest)

        missing, standing = await self._database.read(look)
        if missing:
            raise refuse_missing(push.repository, push.manifest, missing)
        standing = await reserve(self._database, push.digest, Look(standing))
        place = self._backends.place(push.repository)
        place = await home(self._database, self._backends, push.digest, place)
        await keep_copy(self._database, self._backends, push.digest, place)
        await self._backends[place].driver.write(layout.blob(push.digest), push.manifest.raw)
        now, several = clock.timestamp(), self._backends.are_several

        def write(connection: Connection) -> Sequence[str]:
            with self._storage_gates.watching(connection, push.repository, push) as warnings:
                events = rows(connection)
            self._outbox.append(connection, events)
            return warnings

        def rows(connection: Connection) -> list[Event]:
            if standing is Standing.QUARANTINED:
                store.restore_digest(connection, push.digest, push.manifest.size)
            gone = store.claim_references(connection, push.repository, needed)
            if gone:
                raise refuse_missing(push.repository, push.manifest, gone)
            for gate in self._gates:
                gate.check(connection, push)
            size = len(push.manifest.raw)
            if place != DEFAULT:
                store.put_location(connection, push.digest, size, place)
            repository = store.put_manifest(
                connection, push.repository, push.digest, push.manifest, now
            )
            if several:
                store.settle_copy(connection, push.digest, size, place)
            events: list[Event] = [_pushed(push, now)]
            for tag in push.tags:
                check = partial(preconditions.check, tag)
                digest, actor = push.digest, push.actor
                previous = store.put_tag(connection, repository, tag, digest, actor, now, check)
                if previous != digest:
                    events.append(_moved(push, tag, previous, now))
                _adopt_fallback(connection, repository, tag, push.manifest)
            return events

        warnings = await self._database.write(write)
        self._resolution.keep(push.digest, push.manifest.raw)
        return warnings

    async def tag(
        self,
        name: RepositoryName,
        digest: Digest,
        tag: Tag,
        origin: Origin,
        check: Callable[[str | None], None],
    ) -> None:
        """Point the tag at a manifest that is there, as a push of it would, unless ``check`` objects to what
        it points to now.

        Raises ManifestUnknown, and what ``check`` or a gate does.
        """
        await self._resolution.complete(name)
        stored = await self.get(name, digest)
        content = await self.content(name, stored)
        push = Push(name, self.parse(content, stored.media_type), digest, [tag], origin)
        now = clock.timestamp()

        def write(connection: Connection) -> bool:
            if store.claim_references(connection, name, [digest]):
                return False
            for gate in self._gates:
                gate.check(connection, push)
            repository = store.ensure_repository(connection, name, now)
            with self._storage_gates.watching(connection, name, push):
                previous = store.put_tag(
                    connection, repository, tag, digest, push.actor, now, check
                )
            if previous != digest:
                self._outbox.append(connection, [_moved(push, tag, previous, now)])
            return True

        if not await self._database.write(write):
            raise await self._unknown(name, digest)

    async def remove(
        self,
        name: RepositoryName,
        choose: Callable[[Connection], Sequence[Digest]],
        origin: Origin,
    ) -> None:
        """Delete the manifests that ``choose`` finds, with their tags, in the transaction in which it looks.
        Raises what ``choose`` does."""
        await self._resolution.complete(name)
        now, actor = clock.timestamp(), origin.actor

        def write(connection: Connection) -> None:
            events: list[Event] = []
            for digest in choose(connection):
                tags = store.delete_manifest(connection, name, digest, actor, now)
                if tags is not None:
                    events += _deleted(name, digest, tags, origin, now)
            self._outbox.append(connection, events)

        await self._database.write(write)

    async def delete(self, name: RepositoryName, reference: Tag | Digest, origin: Origin) -> None:
        """A tag: only untag. A digest: the manifest and every tag on it.

        Raises NameUnknown or ManifestUnknown.
        """
        await self._resolution.complete(name)
        now, actor = clock.timestamp(), origin.actor

        def write(connection: Connection) -> bool:
            events: list[Event] = []
            if isinstance(reference, Digest):
                tags = store.delete_manifest(connection, name, reference, actor, now)
                if tags is not None:
                    events = _deleted(name, reference, tags, origin, now)
            else:
                digest = store.delete_tag(connection, name, reference, actor, now)
                if digest is not None:
                    gone = TagDeleted(
                        at=now, origin=origin, repository=name, tag=reference, digest=digest
                    )
                    events = [gone]
            self._outbox.append(connection, events)
            return bool(events)

        if not await self._database.write(write):
            raise await self._unknown(name, reference)

    async def complete(self, name: RepositoryName) -> None:
        """Return when the rows say all of the repository, so that it can be listed."""
        await self._resolution.complete(name)

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
        digest = await self._database.read(
            partial(store.quarantined_manifest, name=name, reference=reference)
        )
        if digest is not None:
            return _damaged(name, digest)
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


def _damaged(name: RepositoryName, digest: str) -> ManifestUnknown:
    return ManifestUnknown(
        f"the stored bytes of manifest {digest} of {name!r} are damaged: push the image again",
        detail={"name": name, "manifest": digest},
    )


def _pushed(push: Push, now: float) -> ManifestPushed:
    manifest = push.manifest
    return ManifestPushed(
        at=now,
        origin=push.origin,
        repository=push.repository,
        digest=push.digest,
        media_type=manifest.media_type,
        size=manifest.size,
        tags=tuple(push.tags),
        subject=manifest.subject.digest if manifest.subject else None,
        artifact_type=manifest.artifact_type,
    )


def _deleted(
    name: RepositoryName, digest: Digest, tags: Sequence[str], origin: Origin, now: float
) -> list[Event]:
    """Of a manifest that has gone with its tags."""
    gone = partial(TagDeleted, at=now, origin=origin, repository=name, digest=digest)
    return [
        *(gone(tag=tag) for tag in tags),
        ManifestDeleted(at=now, origin=origin, repository=name, digest=digest),
    ]


def _moved(push: Push, tag: Tag, previous: str | None, now: float) -> TagMoved:
    return TagMoved(
        at=now,
        origin=push.origin,
        repository=push.repository,
        tag=tag,
        digest=push.digest,
        previous=previous,
    )


def _adopt_fallback(connection: Connection, repository: int, tag: Tag, manifest: Manifest) -> None:
    """A client that does not know the referrers API keeps the list itself, in an index under a tag
    made of the subject's digest (Distribution 1.1, "Referrers Tag Schema"). Take that list over."""
    subject = tag.fallback_subject
    if subject is None or manifest.media_type != mediatypes.OCI_INDEX:
        return
    children = [child.digest for child in manifest.children]
    store.adopt_fallback_referrers(connection, repository, subject, children)
