"""The job queue: jobs and what they logged.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Document, Identity, Size, Timestamp

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", Identity, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("payload", Document, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("run_at", Timestamp, nullable=False),
        sa.Column("token", Size, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("lease_until", Timestamp),
        sa.Column("cancel_at", Timestamp),
        sa.Column("progress_done", Size),
        sa.Column("progress_total", Size),
        sa.Column("progress_message", sa.Text),
        sa.Column("checkpoint", Document),
        sa.Column("error", sa.Text),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("started_at", Timestamp),
        sa.Column("finished_at", Timestamp),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_status_run_at", "jobs", ["status", "run_at"])
    live = sa.text("status IN ('queued', 'running')")
    op.create_index(
        "uq_jobs_kind_key_live",
        "jobs",
        ["kind", "key"],
        unique=True,
        sqlite_where=live,
        postgresql_where=live,
    )
    op.create_table(
        "job_logs",
        sa.Column("id", Identity, nullable=False),
        sa.Column("job_id", Identity, nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_logs"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_logs_job_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_job_logs_job_id_id", "job_logs", ["job_id", "id"])


def downgrade() -> None:
    op.drop_table("job_logs")
    op.drop_table("jobs")
