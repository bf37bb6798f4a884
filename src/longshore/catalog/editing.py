"""Tagging, deleting and copying artifacts: in the transactions, before the gates and with the events of the data
plane."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from longshore.catalog import store
from longshore.catalog.errors import PartOfIndex
from longshore.catalog.model import Artifact, Wanted
from longshore.db.database import Connection, Database
from longshore.identity.errors import Missing, Taken
from longshore.oci.digest import Digest
from longshore.oci.errors import ManifestUnknown
from longshore.oci.mediatypes import is_distributable
from longshore.oci.names import RepositoryName, Tag
from longshore.outbox.model import Origin
from longshore.registry import store as registry_store
from longshore.registry.blobs import Blobs
from longshore.registry.manifests import Manifests, Preconditions
from longshore.registry.policy import Push

_BARE = Wanted(tags=False, accessories=False)


@dataclass(frozen=True, slots=True)
class Editing:
    """One per process."""

    manifests: Manifests
    blobs: Blobs
    database: Database

    async def tag(self, artifact: Artifact, tag: Tag, origin: Origin) -> None:
        """Give the artifact one more tag. Raises Taken when the repository has it, ManifestUnknown, or
        what a gate refuses with."""
        name = RepositoryName(artifact.repository)

        def check(current: str | None) -> None:
            if current is not None:
                raise Taken(
                    f"the tag {tag!r} exists in {name}, at {current}: delete it, or push to move it"
                )

        await self.manifests.tag(name, Digest(artifact.digest), tag, origin, check)

    async def untag(self, artifact: Artifact, tag: str, origin: Origin) -> None:
        """Raises Missing when the artifact has no such tag."""
        found = await self.database.read(
            partial(store.tag_digest, repository=artifact.repository_id, name=tag)
        )
        if found != artifact.digest:
            raise Missing(f"the artifact has no tag {tag[:128]!r}")
        await self.manifests.delete(RepositoryName(artifact.repository), Tag(tag), origin)

    async def delete(self, artifact: Artifact, origin: Origin) -> None:
        """The artifact with its tags, what is attached to it, and what only it lists. Raises Missing, and
        PartOfIndex when an index lists it."""
        name = RepositoryName(artifact.repository)

        def choose(connection: Connection) -> Sequence[Digest]:
            found = store.find_artifact(connection, name, artifact.digest, _BARE)
            if found is None:
                raise Missing(f"there is no artifact {artifact.digest} in {name}")
            if store.is_child(connection, found.id):
                raise PartOfIndex(
                    f"the artifact {found.digest} is listed by an index: delete that first"
                )
            gone = store.dependents(connection, found.repository_id, found.digest)
            return [Digest(digest) for digest in gone]

        await self.manifests.remove(name, choose, origin)

    async def delete_repository(self, name: RepositoryName, origin: Origin) -> None:
        """Everything in it."""

        def choose(connection: Connection) -> Sequence[Digest]:
            repository = registry_store.repository_id(connection, name)
            if repository is None:
                return []
            store.forget(connection, repository)
            return [Digest(digest) for digest in store.digests_of(connection, repository, None)]

        await self.manifests.remove(name, choose, origin)

    async def copy(
        self, artifact: Artifact, tag: Tag | None, target: RepositoryName, origin: Origin
    ) -> None:
        """Everything that belongs to the artifact is linked and pushed as a client would, children first and
        what is attached last; ``tag`` comes along. Whoever asks may read it. Raises what a push does."""
        tags = [tag] if tag else []
        parts = await self.database.read(partial(_parts, artifact=artifact, tags=tags))
        source = RepositoryName(artifact.repository)
        for digest, named in parts:
            stored = await self.manifests.get(source, digest)
            raw = await self.manifests.content(source, stored)
            manifest = self.manifests.parse(raw, stored.media_type)
            for blob in {blob.digest: blob for blob in manifest.blobs}.values():
                linked = await self.blobs.mount(target, blob.digest, source, _allowed)
                if linked is None and is_distributable(blob.media_type):
                    raise ManifestUnknown(
                        f"the blob {blob.digest} of {source} is missing: push the image again"
                    )
            await self.manifests.put(Push(target, manifest, digest, named, origin), Preconditions())


async def _allowed(repository: RepositoryName) -> bool:
    """Whether the source may be read was asked before."""
    return True


def _parts(
    connection: Connection, artifact: Artifact, tags: Sequence[Tag]
) -> list[tuple[Digest, Sequence[Tag]]]:
    """What to push, in order, and under which tags."""
    repository = artifact.repository_id
    order: list[str] = [artifact.digest]
    attached: list[str] = []
    fresh = {artifact.digest}
    while fresh:
        known = {*order, *attached}
        below = store.listed_by(connection, repository, fresh) - known
        order = [*sorted(below), *order]
        more = store.attached_to(connection, repository, fresh) - known - below
        attached += sorted(more)
        fresh = below | more
    signatures = {
        digest: [Tag(name) for name in store.signature_tags(connection, repository, digest)]
        for digest in attached
    }
    return [
        *((Digest(one), tags if one == artifact.digest else ()) for one in order),
        *((Digest(one), signatures[one]) for one in attached),
    ]
