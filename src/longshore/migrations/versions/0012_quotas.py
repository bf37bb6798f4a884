"""What projects may hold, and what they hold.

Revision: 0012
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Identity, Name, Size, Timestamp

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "project_quotas",
        sa.Column("project_id", Identity, nullable=False),
        sa.Column("storage_hard", Size),
        sa.Column("storage_soft", Size),
        sa.Column("repositories_hard", Size),
        sa.Column("repositories_soft", Size),
        sa.Column("tags_hard", Size),
        sa.Column("tags_soft", Size),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_project_quotas"),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name="fk_project_quotas_project_id",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "project_usage",
        sa.Column("namespace", Name, nullable=False),
        *(
            sa.Column(name, Size, nullable=False, server_default="0")
            for name in ("storage", "reserved", "repositories", "tags")
        ),
        sa.PrimaryKeyConstraint("namespace", name="pk_project_usage"),
    )
    op.create_table(
        "project_blobs",
        sa.Column("namespace", Name, nullable=False),
        sa.Column("digest", Name, nullable=False),
        sa.Column("size", Size, nullable=False),
        sa.Column("holders", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("namespace", "digest", name="pk_project_blobs"),
    )
    op.create_index("ix_project_blobs_digest", "project_blobs", ["digest"])
    op.create_table(
        "project_repositories",
        sa.Column("repository_id", Identity, autoincrement=False, nullable=False),
        sa.Column("namespace", Name, nullable=False),
        sa.Column("manifests", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("repository_id", name="pk_project_repositories"),
    )
    op.create_table(
        "upload_reservations",
        sa.Column("upload_id", sa.Text, nullable=False),
        sa.Column("namespace", Name, nullable=False),
        sa.Column("size", Size, nullable=False),
        sa.PrimaryKeyConstraint("upload_id", name="pk_upload_reservations"),
    )


def downgrade() -> None:
    _drop_triggers()
    for name in (
        "upload_reservations",
        "project_repositories",
        "project_blobs",
        "project_usage",
        "project_quotas",
    ):
        op.drop_table(name)


def _drop_triggers() -> None:
    """Those of longshore.quotas.store.tracking, whatever their version."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'quota\\_%' ESCAPE '\\'"
        for name in connection.scalars(sa.text(query)).all():
            op.execute(f'DROP TRIGGER "{name}"')
        return
    query = "SELECT proname FROM pg_proc WHERE proname LIKE 'quota\\_%'"
    for name in connection.scalars(sa.text(query)).all():
        op.execute(f'DROP FUNCTION "{name}" CASCADE')
