"""Tags that were told by something else than storage."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, select

from longshore.adoption.model import Kind, TagEntry, Trouble
from longshore.adoption.store.progress import insert_all_absent, note_troubles
from longshore.adoption.tables import given_tags, linked_repositories
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry.tables import settings

_PREFERRED: Final = "adoption tags"
_SOME: Final = 1000


def forget_given_tags(connection: Connection) -> None:
    """From now on storage tells tags again."""
    connection.execute(delete(given_tags))
    connection.execute(delete(settings).where(settings.c.name == _PREFERRED))


def prefer_given_tags(connection: Connection) -> None:
    """Tags are those that were given; what storage says of tags is out of date."""
    insert_all_absent(connection, settings, [{"name": _PREFERRED, "value": "given"}])


def add_given_tags(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    insert_all_absent(connection, given_tags, rows)


def are_tags_given(connection: Connection) -> bool:
    return bool(connection.scalar(select(exists().where(settings.c.name == _PREFERRED))))


def given_tag(connection: Connection, name: RepositoryName, tag: Tag) -> TagEntry | None:
    query = select(given_tags).where(given_tags.c.repository == name, given_tags.c.name == tag)
    row = connection.execute(query).one_or_none()
    return None if row is None else _entry(name, row)


def list_given_tags(
    connection: Connection, name: RepositoryName, last: str, limit: int
) -> list[TagEntry]:
    """Tags of the repository after ``last``, in order."""
    query = (
        select(given_tags)
        .where(given_tags.c.repository == name, given_tags.c.name > last)
        .order_by(given_tags.c.name)
        .limit(limit)
    )
    return [_entry(name, row) for row in connection.execute(query)]


def note_unknown_given(connection: Connection) -> None:
    """Remember as trouble the repositories of given tags that storage has nothing of."""
    linked = exists().where(linked_repositories.c.name == given_tags.c.repository)
    query = select(given_tags.c.repository).where(~linked).distinct().limit(_SOME)
    note_troubles(
        connection,
        [
            Trouble(
                Kind.TAG, name, name, "tags were given for it, but storage has no such repository"
            )
            for name in connection.scalars(query)
        ],
    )


def _entry(name: RepositoryName, row: Any) -> TagEntry:
    return TagEntry(Tag(row.name), Digest(row.digest), row.at, True, f"{name}:{row.name}")
