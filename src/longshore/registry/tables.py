"""The rows that say what exists. Bytes are in storage; nothing else is.

repositories ──< repository_blobs >── blobs          which repository may read which blob
     │
     ├──< manifests ──< manifest_references          what a manifest points to
     ├──< tags                                       name -> digest, now
     └──< tag_history                                name -> digest, ever
uploads                                              bytes on their way in
settings                                             what the installation remembers of itself
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from longshore.db.schema import Document, Identity, Name, Size, Timestamp, metadata

repositories = Table(
    "repositories",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("created_at", Timestamp, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", Name, primary_key=True),
    Column("size", Size, nullable=False),
    Column("created_at", Timestamp, nullable=False),
)

repository_blobs = Table(
    "repository_blobs",
    metadata,
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", ForeignKey("blobs.digest"), primary_key=True),
    Column("linked_at", Timestamp, nullable=False),
    Index("ix_repository_blobs_digest", "digest"),
)

manifests = Table(
    "manifests",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("digest", Name, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", Size, nullable=False),
    Column("artifact_type", Text),
    Column("subject", Name),
    Column("annotations", Document),
    Column("pushed_at", Timestamp, nullable=False),
    UniqueConstraint("repository_id", "digest"),
    Index("ix_manifests_repository_id_subject", "repository_id", "subject"),
    Index("ix_manifests_digest", "digest"),
)

manifest_references = Table(
    "manifest_references",
    metadata,
    Column("manifest_id", ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", Name, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("size", Size, nullable=False),
    Column("position", Integer, nullable=False),
    Index("ix_manifest_references_digest", "digest"),
)

tags = Table(
    "tags",
    metadata,
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("digest", Name, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Index("ix_tags_repository_id_digest", "repository_id", "digest"),
)

tag_history = Table(
    "tag_history",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("digest", Name),
    Column("actor", Text, nullable=False),
    Column("at", Timestamp, nullable=False),
    Index("ix_tag_history_repository_id_name", "repository_id", "name"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("repository", Name, nullable=False),
    Column("owner", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("size", Size, nullable=False),
    Column("state", Document, nullable=False),
    Column("digest", Text),
    Column("attempt", Text),
    Column("started_at", Timestamp, nullable=False),
    Column("active_at", Timestamp, nullable=False),
    Index("ix_uploads_active_at", "active_at"),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Document, nullable=False),
)
