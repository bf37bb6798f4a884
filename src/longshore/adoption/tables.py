"""What is remembered of the links in storage.

linked_repositories      repositories that have links there: since when the rows say all of it, and
                         which rows the links say
given_tags               tags told by something else than storage, until they are rows
adoption_troubles        what could not be taken over, and stays as it is
"""

from typing import Any, Final

from sqlalchemy import Column, Index, Table, Text, text

from longshore.db.schema import Name, Timestamp, metadata

_WAITING: Final[dict[str, Any]] = {
    "sqlite_where": text("indexed_at IS NULL"),
    "postgresql_where": text("indexed_at IS NULL"),
}

linked_repositories = Table(
    "linked_repositories",
    metadata,
    Column("name", Name, primary_key=True),
    # Latch and checkpoint in one: NULL until everything that storage says of it is in rows.
    Column("indexed_at", Timestamp),
    # What the rows were when they were last written back as links; see longshore.adoption.export.
    Column("exported", Text),
    Index("ix_linked_repositories_waiting", "name", **_WAITING),
)

given_tags = Table(
    "given_tags",
    metadata,
    Column("repository", Name, primary_key=True),
    Column("name", Name, primary_key=True),
    Column("digest", Name, nullable=False),
    Column("at", Timestamp, nullable=False),
)

adoption_troubles = Table(
    "adoption_troubles",
    metadata,
    Column("path", Text, primary_key=True),
    Column("repository", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_adoption_troubles_repository", "repository"),
)
