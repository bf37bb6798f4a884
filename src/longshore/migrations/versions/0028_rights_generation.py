"""A value that changes with everything that says who may do what, on PostgreSQL.

Revision: 0028
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Name

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

#: Everything that a standing (longshore.identity.store.standing), what a token is verified with, or a setting of the
#: whole registry is read from, and columns that say nothing about it and change often. A table that joins them needs its trigger, too: a
#: test asks standings what they read.
_TABLES = {
    "users": (),
    "user_groups": (),
    "user_group_members": (),
    "projects": (),
    "custom_roles": (),
    "project_members": (),
    "repository_rules": (),
    "access_tokens": ("last_used_at", "last_used_from"),
    "robots": ("last_used_at", "last_used_from"),
    "system_settings": (),
    "signing_keys": (),
}

#: Deferred to the commit, so that the one row that all such transactions write is locked last and shortly, and nobody
#: who holds it waits for anything else; it becomes visible with what it tells of. A random value, because
#: a counter that was restored from a backup, or on a standby that took over, might come by the same number
#: twice. The schema is that of the table, whoever changes it from wherever.
_FUNCTION = """
CREATE FUNCTION rights_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('longshore.rights_changed', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
    PERFORM set_config('longshore.rights_changed', pg_current_xact_id()::text, true);
    EXECUTE format(
      'INSERT INTO %I.rights_generation AS known (id, value) VALUES (1, gen_random_uuid()::text) '
      'ON CONFLICT (id) DO UPDATE SET value = excluded.value',
      TG_TABLE_SCHEMA
    );
  END IF;
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return  # any commit is noticed there
    op.create_table(
        "rights_generation",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("value", Name, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rights_generation"),
    )
    op.execute(_FUNCTION)
    for table, unimportant in _TABLES.items():
        _watch(table, "INSERT OR DELETE" if unimportant else "INSERT OR UPDATE OR DELETE")
        if unimportant:
            old, new = (
                f"to_jsonb({row}) - '{{{','.join(unimportant)}}}'::text[]" for row in ("OLD", "NEW")
            )
            _watch(table, "UPDATE", f"WHEN ({old} IS DISTINCT FROM {new})")
        op.execute(
            f"CREATE TRIGGER rights_truncate AFTER TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION rights_changed()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER rights_truncate")


def _watch(table: str, events: str, condition: str = "") -> None:
    """Also for what replication or a restored dump writes (ALWAYS)."""
    name = "rights_" + events.lower().replace(" or ", "_")
    op.execute(
        f"CREATE CONSTRAINT TRIGGER {name} AFTER {events} ON {table} DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW {condition} EXECUTE FUNCTION rights_changed()"
    )
    op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute("DROP FUNCTION rights_changed() CASCADE")
    op.drop_table("rights_generation")
