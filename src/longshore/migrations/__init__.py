"""Schema changes: numbered, hand-written, each reversible, for SQLite and PostgreSQL.

:func:`upgrade` is called at every start. Alembic is imported only when there is something to do.
"""

from typing import Final

from sqlalchemy import Connection, inspect, text

from longshore.db.database import Database

#: The newest revision; a test compares it with the files in ``versions``.
HEAD: Final = "0029"
_LOCK: Final = 0x4C6F6E67  # any number, as long as every node uses the same


def upgrade(database: Database) -> bool:
    """Bring the schema to HEAD; whether anything was done. Blocks. Several processes may call it
    at once: one works, the others wait."""
    if current(database) == HEAD:
        return False
    with database.engine.connect() as connection:
        writing = connection.execution_options(longshore_writes=True)
        with writing.begin():
            if not database.is_sqlite:
                writing.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _run(writing, "upgrade", "head")
    return True


def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to ``revision`` (``base``: nothing). Blocks."""
    with database.engine.connect() as connection:
        writing = connection.execution_options(longshore_writes=True)
        with writing.begin():
            _run(writing, "downgrade", revision)


def current(database: Database) -> str | None:
    """The schema's revision; None for an empty database. Blocks."""
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def _run(connection: Connection, direction: str, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "longshore:migrations")
    config.attributes["connection"] = connection
    getattr(command, direction)(config, revision)
