"""What online garbage collection remembers: since when a row has been found unused.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Identity, Timestamp

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = ("blobs", "repository_blobs", "manifests")


def upgrade() -> None:
    condemned = sa.text("condemned_at IS NOT NULL")
    for table in _TABLES:
        op.add_column(table, sa.Column("condemned_at", Timestamp))
        op.create_index(
            f"ix_{table}_condemned_at",
            table,
            ["condemned_at"],
            sqlite_where=condemned,
            postgresql_where=condemned,
        )
    op.add_column("blobs", sa.Column("state", sa.Text, nullable=False, server_default="stored"))
    op.add_column("blobs", sa.Column("deletion_until", Timestamp))
    op.add_column("manifest_references", sa.Column("repository_id", Identity))
    op.execute(
        "UPDATE manifest_references SET repository_id = (SELECT repository_id FROM manifests "
        "WHERE manifests.id = manifest_references.manifest_id)"
    )
    with op.batch_alter_table("manifest_references") as batch:
        batch.alter_column("repository_id", existing_type=Identity, nullable=False)
        batch.drop_index("ix_manifest_references_digest")
        batch.create_index(
            "ix_manifest_references_digest_repository_id", ["digest", "repository_id"]
        )


def downgrade() -> None:
    with op.batch_alter_table("manifest_references") as batch:
        batch.drop_index("ix_manifest_references_digest_repository_id")
        batch.create_index("ix_manifest_references_digest", ["digest"])
        batch.drop_column("repository_id")
    for table in _TABLES:
        op.drop_index(f"ix_{table}_condemned_at", table)
    op.drop_column("blobs", "deletion_until")
    op.drop_column("blobs", "state")
    for table in _TABLES:
        op.drop_column(table, "condemned_at")
