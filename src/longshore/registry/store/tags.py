"""Tags and their history."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry.store.repositories import repository_id
from longshore.registry.store.statements import insert_if_absent, joined_names
from longshore.registry.tables import tag_history, tags

#: Locked, so that nobody moves it between the look and the move.
_TAG_DIGEST: Final = (
    select(tags.c.digest)
    .where(tags.c.repository_id == bindparam("repository"), tags.c.name == bindparam("tag"))
    .with_for_update()
)
_MOVE_TAG: Final = update(tags).where(
    tags.c.repository_id == bindparam("repository"), tags.c.name == bindparam("tag")
)


def put_tag(
    connection: Connection,
    repository: int,
    tag: Tag,
    digest: Digest,
    actor: str,
    now: float,
    check: Callable[[str | None], None],
) -> str | None:
    """Point the tag at the digest, unless ``check`` objects to what it points to now; what that was,
    None for a new tag."""
    row = {"repository_id": repository, "name": tag, "digest": digest, "updated_at": now}
    while True:
        current = connection.scalar(_TAG_DIGEST, {"repository": repository, "tag": tag})
        check(current)
        if current is not None:
            moved = {"repository": repository, "tag": tag, "digest": digest, "updated_at": now}
            connection.execute(_MOVE_TAG, moved)
            break
        if insert_if_absent(connection, tags, row):
            break
        # Somebody else has made it between the two statements.
    if current != digest:
        remember(connection, repository, tag, digest, actor, now)
    return current


def delete_tag(
    connection: Connection, name: RepositoryName, tag: Tag, actor: str, now: float
) -> str | None:
    """Remove the tag; the digest that it pointed to, None if there was none."""
    repository = repository_id(connection, name)
    if repository is None:
        return None
    own = (tags.c.repository_id == repository) & (tags.c.name == tag)
    digest = connection.scalar(delete(tags).where(own).returning(tags.c.digest))
    if digest is not None:
        remember(connection, repository, tag, None, actor, now)
    return digest


def list_tags(
    connection: Connection, name: RepositoryName, last: str, limit: int | None
) -> list[str] | None:
    """Tags after ``last`` in ASCII order; None when there is no such repository."""
    repository = repository_id(connection, name)
    if repository is None:
        return None
    query = (
        select(tags.c.name)
        .where(tags.c.repository_id == repository, tags.c.name > last)
        .order_by(tags.c.name)
    )
    return joined_names(connection, query if limit is None else query.limit(limit))


_REMEMBER: Final = insert(tag_history)


def remember(
    connection: Connection, repository: int, tag: str, digest: str | None, actor: str, now: float
) -> None:
    row = {"repository_id": repository, "name": tag, "digest": digest, "actor": actor, "at": now}
    connection.execute(_REMEMBER, row)
