"""Misses at logins, counted for all nodes.

Revision: 0017
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Name, Timestamp

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_misses",
        sa.Column("key", Name, nullable=False),
        sa.Column("misses", sa.Integer, nullable=False),
        sa.Column("until", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_login_misses"),
    )
    op.create_index("ix_login_misses_updated_at", "login_misses", ["updated_at"])


def downgrade() -> None:
    op.drop_table("login_misses")
