"""The rows of the queue.

jobs ──< job_logs        what is to be done, is being done, was done; and what it said meanwhile
job_schedules            what administrators said about when jobs of a kind come back
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text, text

from longshore.db.schema import Document, Identity, Name, Size, Timestamp, metadata

_LIVE: Final = text("status IN ('queued', 'running')")

jobs = Table(
    "jobs",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text),
    Column("payload", Document, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("run_at", Timestamp, nullable=False),
    Column("token", Size, nullable=False),
    Column("holder", Text),
    Column("lease_until", Timestamp),
    Column("cancel_at", Timestamp),
    Column("progress_done", Size),
    Column("progress_total", Size),
    Column("progress_message", Text),
    Column("checkpoint", Document),
    Column("error", Text),
    Column("created_at", Timestamp, nullable=False),
    Column("started_at", Timestamp),
    Column("finished_at", Timestamp),
    Index("ix_jobs_status_run_at", "status", "run_at"),
    Index(
        "uq_jobs_kind_key_live",
        "kind",
        "key",
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    ),
)

job_logs = Table(
    "job_logs",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("line", Text, nullable=False),
    Index("ix_job_logs_job_id_id", "job_id", "id"),
)

job_schedules = Table(
    "job_schedules",
    metadata,
    Column("kind", Name, primary_key=True),
    # Empty: never, whatever the configuration says.
    Column("cron", Text, nullable=False),
    Column("payload", Document, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
)
