"""Schedules of jobs that administrators set.

Revision: 0024
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Document, Name, Timestamp

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_schedules",
        sa.Column("kind", Name, nullable=False),
        sa.Column("cron", sa.Text, nullable=False),
        sa.Column("payload", Document, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_job_schedules"),
    )


def downgrade() -> None:
    op.drop_table("job_schedules")
