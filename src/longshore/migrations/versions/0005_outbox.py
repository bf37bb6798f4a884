"""The outbox: events that listeners have not been told of yet.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Document, Identity, Timestamp

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", Identity, nullable=False),
        sa.Column("listener", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.Column("body", Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_listener_id", "outbox", ["listener", "id"])


def downgrade() -> None:
    op.drop_table("outbox")
