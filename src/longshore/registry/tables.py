"""The rows that say what exists. Bytes are in storage; nothing else is.

repositories ──< repository_blobs >── blobs          which repository may read which blob
     │
     ├──< manifests ──< manifest_references          what a manifest points to
     ├──< tags                                       name -> digest, now
     └──< tag_history                                name -> digest, ever
spare_copies                                         bytes that lie in a backend and are not read there
uploads                                              bytes on their way in
settings                                             what the installation remembers of itself
"""

from typing import Any, Final

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, text

from longshore.db.schema import LOWER_CASE, Document, Identity, Name, Size, Timestamp, metadata

_WHERE_CONDEMNED: Final[dict[str, Any]] = {
    "sqlite_where": text("condemned_at IS NOT NULL"),
    "postgresql_where": text("condemned_at IS NOT NULL"),
}

_WHERE_ELSEWHERE: Final[dict[str, Any]] = {
    "sqlite_where": text("backend <> ''"),
    "postgresql_where": text("backend <> ''"),
}

#: Written out, because a partial index is used only where its condition is said in the same words.
QUARANTINED: Final = text("blobs.state = 'quarantined'")
_WHERE_QUARANTINED: Final[dict[str, Any]] = {
    "sqlite_where": text("state = 'quarantined'"),
    "postgresql_where": text("state = 'quarantined'"),
}

#: The same: what an index lists.
IS_CHILD: Final = text("manifest_references.kind = 'child'")
_WHERE_CHILD: Final[dict[str, Any]] = {
    "sqlite_where": text("kind = 'child'"),
    "postgresql_where": text("kind = 'child'"),
}

repositories = Table(
    "repositories",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("name", Name, nullable=False, unique=True, info=LOWER_CASE),
    # See longshore.oci.names.namespace_of: "what is in this project?" is one look-up.
    Column("namespace", Name, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Index("ix_repositories_namespace_name", "namespace", "name"),
    Index("ix_repositories_created_at_id", "created_at", "id"),
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", Name, primary_key=True),
    Column("size", Size, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    # See longshore.gc: when collection found it unused, and who is removing it until when.
    Column("state", Text, nullable=False, server_default="stored"),
    Column("condemned_at", Timestamp),
    Column("deletion_until", Timestamp),
    # Where the bytes lie; empty: in the default backend, as do those of manifests without a row.
    Column("backend", Name, nullable=False, server_default=""),
    Index("ix_blobs_size", "size"),
    Index("ix_blobs_condemned_at", "condemned_at", **_WHERE_CONDEMNED),
    Index("ix_blobs_quarantined", "digest", **_WHERE_QUARANTINED),
    Index("ix_blobs_backend", "backend", **_WHERE_ELSEWHERE),
)

spare_copies = Table(
    "spare_copies",
    metadata,
    Column("digest", Name, primary_key=True),
    Column("backend", Name, primary_key=True),
    Column("size", Size, nullable=False),
    Column("since", Timestamp, nullable=False),
    Column("deletion_until", Timestamp),
    Index("ix_spare_copies_since", "since"),
)

repository_blobs = Table(
    "repository_blobs",
    metadata,
    Column("repository_id", ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", ForeignKey("blobs.digest"), primary_key=True),
    Column("linked_at", Timestamp, nullable=False),
    Column("condemned_at", Timestamp),
    Index("ix_repository_blobs_digest", "digest"),
    Index("ix_repository_blobs_condemned_at", "condemned_at", **_WHERE_CONDEMNED),
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
    Column("condemned_at", Timestamp),
    UniqueConstraint("repository_id", "digest"),
    Index("ix_manifests_repository_id_subject", "repository_id", "subject"),
    Index("ix_manifests_digest", "digest"),
    Index("ix_manifests_repository_id_pushed_at", "repository_id", "pushed_at"),
    Index("ix_manifests_condemned_at", "condemned_at", **_WHERE_CONDEMNED),
)

manifest_references = Table(
    "manifest_references",
    metadata,
    Column("manifest_id", ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", Name, primary_key=True),
    # The manifest's, again: "does this repository still refer to it?" is one look-up.
    Column("repository_id", Identity, nullable=False),
    Column("kind", Text, nullable=False),
    Column("size", Size, nullable=False),
    Column("position", Integer, nullable=False),
    Index("ix_manifest_references_digest_repository_id", "digest", "repository_id"),
    Index("ix_manifest_references_children", "repository_id", "digest", **_WHERE_CHILD),
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
    Column("backend", Name, nullable=False, server_default=""),
    Index("ix_uploads_active_at", "active_at"),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Document, nullable=False),
)
