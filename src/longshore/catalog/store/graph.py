"""How the manifests of a repository hang together."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, select

from longshore.registry.tables import manifest_references, manifests, tags


def attached_to(connection: Connection, repository: int, digests: Collection[str]) -> set[str]:
    """Digests of what names one of ``digests`` as its subject, and of cosign's signatures of it."""
    named = select(manifests.c.digest).where(
        manifests.c.repository_id == repository, manifests.c.subject.in_(digests)
    )
    signed = select(tags.c.digest).where(
        tags.c.repository_id == repository,
        tags.c.name.in_([signature_tag(digest) for digest in digests]),
    )
    return {*connection.scalars(named), *connection.scalars(signed)}


def listed_by(connection: Connection, repository: int, digests: Collection[str]) -> set[str]:
    """Digests of the manifests in the repository that these indexes list."""
    child = manifests.alias("child")
    query = (
        select(manifest_references.c.digest)
        .join(manifests, manifests.c.id == manifest_references.c.manifest_id)
        .join(
            child,
            (child.c.repository_id == repository)
            & (child.c.digest == manifest_references.c.digest),
        )
        .where(
            manifests.c.repository_id == repository,
            manifests.c.digest.in_(digests),
            manifest_references.c.kind == "child",
        )
    )
    return set(connection.scalars(query))


def signature_tags(connection: Connection, repository: int, digest: str) -> Sequence[str]:
    """The tags by which cosign finds a signature that is the manifest ``digest``."""
    query = select(tags.c.name).where(
        tags.c.repository_id == repository,
        tags.c.digest == digest,
        tags.c.name.like("sha256-%.sig"),
    )
    return list(connection.scalars(query))


def tag_digest(connection: Connection, repository: int, name: str) -> str | None:
    """What the tag points to."""
    query = select(tags.c.digest).where(tags.c.repository_id == repository, tags.c.name == name)
    found: str | None = connection.scalar(query)
    return found


def signature_tag(digest: str) -> str:
    """Where cosign puts the signature of a digest."""
    return f"{digest.replace(':', '-')}.sig"
