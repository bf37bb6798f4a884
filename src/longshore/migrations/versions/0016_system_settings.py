"""What administrators set while the registry runs.

Revision: 0016
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Name, Timestamp

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "system_settings",
        sa.Column("name", Name, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("secret", sa.Text),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_system_settings"),
    )


def downgrade() -> None:
    op.drop_table("system_settings")
