"""Called by Alembic: runs the scripts on the connection that the caller holds."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
context.run_migrations()
