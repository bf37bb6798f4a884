"""The rows of the outbox: one for each event and listener, until it was delivered."""

from sqlalchemy import Column, Index, Table, Text

from longshore.db.schema import Document, Identity, Timestamp, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("listener", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("at", Timestamp, nullable=False),
    Column("body", Document, nullable=False),
    Index("ix_outbox_listener_id", "listener", "id"),
)
