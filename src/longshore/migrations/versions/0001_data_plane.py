"""The data plane: repositories, blobs, manifests, tags, uploads.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Document, Identity, Name, Size, Timestamp

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "repositories",
        sa.Column("id", Identity, nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repositories"),
        sa.UniqueConstraint("name", name="uq_repositories_name"),
    )
    op.create_table(
        "blobs",
        sa.Column("digest", Name, nullable=False),
        sa.Column("size", Size, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_blobs"),
    )
    op.create_table(
        "repository_blobs",
        sa.Column("repository_id", Identity, nullable=False),
        sa.Column("digest", Name, nullable=False),
        sa.Column("linked_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "digest", name="pk_repository_blobs"),
        _of_repository("repository_blobs"),
        sa.ForeignKeyConstraint(["digest"], ["blobs.digest"], name="fk_repository_blobs_digest"),
    )
    op.create_index("ix_repository_blobs_digest", "repository_blobs", ["digest"])
    op.create_table(
        "manifests",
        sa.Column("id", Identity, nullable=False),
        sa.Column("repository_id", Identity, nullable=False),
        sa.Column("digest", Name, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("size", Size, nullable=False),
        sa.Column("artifact_type", sa.Text),
        sa.Column("subject", Name),
        sa.Column("annotations", Document),
        sa.Column("pushed_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_manifests"),
        sa.UniqueConstraint("repository_id", "digest", name="uq_manifests_repository_id_digest"),
        _of_repository("manifests"),
    )
    op.create_index("ix_manifests_digest", "manifests", ["digest"])
    op.create_index("ix_manifests_repository_id_subject", "manifests", ["repository_id", "subject"])
    op.create_table(
        "manifest_references",
        sa.Column("manifest_id", Identity, nullable=False),
        sa.Column("digest", Name, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("size", Size, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("manifest_id", "digest", name="pk_manifest_references"),
        sa.ForeignKeyConstraint(
            ["manifest_id"],
            ["manifests.id"],
            name="fk_manifest_references_manifest_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_manifest_references_digest", "manifest_references", ["digest"])
    op.create_table(
        "tags",
        sa.Column("repository_id", Identity, nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("digest", Name, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "name", name="pk_tags"),
        _of_repository("tags"),
    )
    op.create_index("ix_tags_repository_id_digest", "tags", ["repository_id", "digest"])
    op.create_table(
        "tag_history",
        sa.Column("id", Identity, nullable=False),
        sa.Column("repository_id", Identity, nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("digest", Name),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tag_history"),
        _of_repository("tag_history"),
    )
    op.create_index("ix_tag_history_repository_id_name", "tag_history", ["repository_id", "name"])
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("repository", Name, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("size", Size, nullable=False),
        sa.Column("state", Document, nullable=False),
        sa.Column("digest", sa.Text),
        sa.Column("attempt", sa.Text),
        sa.Column("started_at", Timestamp, nullable=False),
        sa.Column("active_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_active_at", "uploads", ["active_at"])
    op.create_table(
        "settings",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", Document, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
    )


def downgrade() -> None:
    for table in (
        "settings",
        "uploads",
        "tag_history",
        "tags",
        "manifest_references",
        "manifests",
        "repository_blobs",
        "blobs",
        "repositories",
    ):
        op.drop_table(table)


def _of_repository(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["repository_id"],
        ["repositories.id"],
        name=f"fk_{table}_repository_id",
        ondelete="CASCADE",
    )
