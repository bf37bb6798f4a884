"""The audit log.

audit_log      one row for each thing that was done; database triggers refuse changes and early removal
audit_state    one row: both ends of the chain. Removing that first is what lets a restore empty the log.
audit_forwarding  for each receiver the last row that it has
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text

from longshore.db.schema import Name, Timestamp, metadata

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Timestamp, nullable=False),
    Column("actor", Name, nullable=False),
    Column("address", Text, nullable=False),
    Column("operation", Name, nullable=False),
    Column("resource_type", Name, nullable=False),
    Column("resource", Name, nullable=False),
    Column("project", Name, nullable=False),
    Column("description", Text, nullable=False),
    Column("successful", Boolean, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("seal", Text, nullable=False),
    Index("ix_audit_log_at", "at"),
    Index("ix_audit_log_actor_id", "actor", "id"),
    Index("ix_audit_log_project_id", "project", "id"),
    Index("ix_audit_log_operation_resource_type_id", "operation", "resource_type", "id"),
)

audit_state = Table(
    "audit_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_id", BigInteger, nullable=False),
    Column("last_seal", Text, nullable=False),
    Column("removed_through", BigInteger, nullable=False),
    Column("removed_seal", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("seal", Text, nullable=False),
)

audit_forwarding = Table(
    "audit_forwarding",
    metadata,
    Column("receiver", Name, primary_key=True),
    Column("last_id", BigInteger, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
)
