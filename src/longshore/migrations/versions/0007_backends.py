"""In which backend bytes lie, and copies of them that are not read.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Name, Size, Timestamp

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("blobs", "uploads"):
        op.add_column(table, sa.Column("backend", Name, nullable=False, server_default=""))
    elsewhere = sa.text("backend <> ''")
    op.create_index(
        "ix_blobs_backend",
        "blobs",
        ["backend"],
        sqlite_where=elsewhere,
        postgresql_where=elsewhere,
    )
    op.create_table(
        "spare_copies",
        sa.Column("digest", Name, nullable=False),
        sa.Column("backend", Name, nullable=False),
        sa.Column("size", Size, nullable=False),
        sa.Column("since", Timestamp, nullable=False),
        sa.Column("deletion_until", Timestamp),
        sa.PrimaryKeyConstraint("digest", "backend", name="pk_spare_copies"),
    )
    op.create_index("ix_spare_copies_since", "spare_copies", ["since"])


def downgrade() -> None:
    op.drop_table("spare_copies")
    op.drop_index("ix_blobs_backend", "blobs")
    for table in ("uploads", "blobs"):
        op.drop_column(table, "backend")
