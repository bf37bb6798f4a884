"""When stored bytes were last verified, and a short way to those that are not what they should be.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Name, Timestamp

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "verifications",
        sa.Column("digest", Name, nullable=False),
        sa.Column("verified_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_verifications"),
    )
    quarantined = sa.text("state = 'quarantined'")
    op.create_index(
        "ix_blobs_quarantined",
        "blobs",
        ["digest"],
        sqlite_where=quarantined,
        postgresql_where=quarantined,
    )


def downgrade() -> None:
    op.drop_index("ix_blobs_quarantined", "blobs")
    op.drop_table("verifications")
