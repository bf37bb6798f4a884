"""How far the audit log was sent to each of its receivers.

Revision: 0018
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Name, Timestamp

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_forwarding",
        sa.Column("receiver", Name, nullable=False),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("receiver", name="pk_audit_forwarding"),
    )


def downgrade() -> None:
    op.drop_table("audit_forwarding")
