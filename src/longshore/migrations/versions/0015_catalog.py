"""What people see of repositories and artifacts beside what the registry needs: pulls, labels, words.

Revision: 0015
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Document, Identity, Name, Size, Timestamp

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "repository_details",
        sa.Column("repository_id", Identity, nullable=False),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("pull_count", Size, nullable=False, server_default="0"),
        sa.Column("updated_at", Timestamp, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("repository_id", name="pk_repository_details"),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repositories.id"],
            name="fk_repository_details_repository_id",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "artifact_details",
        sa.Column("manifest_id", Identity, nullable=False),
        sa.Column("pulled_at", Timestamp),
        sa.Column("extra", Document),
        sa.PrimaryKeyConstraint("manifest_id", name="pk_artifact_details"),
        sa.ForeignKeyConstraint(
            ["manifest_id"],
            ["manifests.id"],
            name="fk_artifact_details_manifest_id",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "tag_pulls",
        sa.Column("repository_id", Identity, nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("pulled_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("repository_id", "name", name="pk_tag_pulls"),
        sa.ForeignKeyConstraint(
            ["repository_id", "name"],
            ["tags.repository_id", "tags.name"],
            name="fk_tag_pulls_repository_id_name",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "labels",
        sa.Column("id", Identity, nullable=False),
        sa.Column("owner", Identity, nullable=False),
        sa.Column("project_id", Identity),
        sa.Column("name", Name, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("color", sa.Text, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_labels"),
        sa.UniqueConstraint("owner", "name", name="uq_labels_owner_name"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_labels_project_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_labels_project_id", "labels", ["project_id"])
    op.create_table(
        "artifact_labels",
        sa.Column("manifest_id", Identity, nullable=False),
        sa.Column("label_id", Identity, nullable=False),
        sa.PrimaryKeyConstraint("manifest_id", "label_id", name="pk_artifact_labels"),
        sa.ForeignKeyConstraint(
            ["manifest_id"],
            ["manifests.id"],
            name="fk_artifact_labels_manifest_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["label_id"], ["labels.id"], name="fk_artifact_labels_label_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_artifact_labels_label_id", "artifact_labels", ["label_id"])
    op.create_index(
        "ix_manifests_repository_id_pushed_at", "manifests", ["repository_id", "pushed_at"]
    )


def downgrade() -> None:
    op.drop_index("ix_manifests_repository_id_pushed_at", "manifests")
    for table in (
        "artifact_labels",
        "labels",
        "tag_pulls",
        "artifact_details",
        "repository_details",
    ):
        op.drop_table(table)
