"""What projects may hold, and what they hold.

project_quotas           limits of a project; null: the configuration's
project_usage            what a project holds now, and what uploads under way will need
project_blobs            each digest that a project holds, in how many places of it
project_repositories     which project a repository counts for, with its manifests
upload_reservations      room kept for an upload

All but the first are kept by triggers (``longshore.quotas.store.tracking``), where users and projects
are configured; elsewhere they are empty.
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text

from longshore.db.schema import Identity, Name, Size, Timestamp, metadata

project_quotas = Table(
    "project_quotas",
    metadata,
    Column("project_id", Identity, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("storage_hard", Size),
    Column("storage_soft", Size),
    Column("repositories_hard", Size),
    Column("repositories_soft", Size),
    Column("tags_hard", Size),
    Column("tags_soft", Size),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
)

project_usage = Table(
    "project_usage",
    metadata,
    Column("namespace", Name, primary_key=True),
    Column("storage", Size, nullable=False, server_default="0"),
    Column("reserved", Size, nullable=False, server_default="0"),
    Column("repositories", Size, nullable=False, server_default="0"),
    Column("tags", Size, nullable=False, server_default="0"),
)

project_blobs = Table(
    "project_blobs",
    metadata,
    Column("namespace", Name, primary_key=True),
    Column("digest", Name, primary_key=True),
    Column("size", Size, nullable=False),
    Column("holders", Integer, nullable=False),
    Index("ix_project_blobs_digest", "digest"),
)

project_repositories = Table(
    "project_repositories",
    metadata,
    Column("repository_id", Identity, primary_key=True, autoincrement=False),
    Column("namespace", Name, nullable=False),
    Column("manifests", Integer, nullable=False),
)

upload_reservations = Table(
    "upload_reservations",
    metadata,
    Column("upload_id", Text, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("size", Size, nullable=False),
)
