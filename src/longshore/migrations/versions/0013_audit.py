"""The audit log, which the database itself refuses to change.

Revision: 0013
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Name, Timestamp

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_REFUSED = "the audit log is append-only"
_KEPT = "EXISTS (SELECT 1 FROM audit_state WHERE removed_through < OLD.id)"


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.Column("actor", Name, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("operation", Name, nullable=False),
        sa.Column("resource_type", Name, nullable=False),
        sa.Column("resource", Name, nullable=False),
        sa.Column("project", Name, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("successful", sa.Boolean, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("seal", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    for columns in (
        ["at"],
        ["actor", "id"],
        ["project", "id"],
        ["operation", "resource_type", "id"],
    ):
        op.create_index(f"ix_audit_log_{'_'.join(columns)}", "audit_log", columns)
    op.create_table(
        "audit_state",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("last_id", sa.BigInteger, nullable=False),
        sa.Column("last_seal", sa.Text, nullable=False),
        sa.Column("removed_through", sa.BigInteger, nullable=False),
        sa.Column("removed_seal", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("seal", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_state"),
    )
    if op.get_bind().dialect.name == "sqlite":
        refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
        op.execute(f"CREATE TRIGGER audit_log_update BEFORE UPDATE ON audit_log {refuse}")
        op.execute(
            f"CREATE TRIGGER audit_log_delete BEFORE DELETE ON audit_log WHEN {_KEPT} {refuse}"
        )
        return
    op.execute(
        "CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{_REFUSED}'; END $$"
    )
    op.execute(
        "CREATE FUNCTION audit_log_removable() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {_KEPT} THEN RAISE EXCEPTION '{_REFUSED}'; END IF; RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_log_update BEFORE UPDATE ON audit_log "
        "FOR EACH ROW EXECUTE FUNCTION audit_log_refuse()"
    )
    op.execute(
        "CREATE TRIGGER audit_log_delete BEFORE DELETE ON audit_log "
        "FOR EACH ROW EXECUTE FUNCTION audit_log_removable()"
    )
    op.execute(
        "CREATE TRIGGER audit_log_truncate BEFORE TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()"
    )


def downgrade() -> None:
    op.drop_table("audit_log")
    op.drop_table("audit_state")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_log_refuse()")
        op.execute("DROP FUNCTION audit_log_removable()")
