"""Robots, and access tokens of users.

Revision: 0021
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Document, Identity, Name, Timestamp

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def _secret() -> "list[sa.Column[object]]":
    return [
        sa.Column("secret_hash", Name, nullable=False),
        sa.Column("former_hash", Name),
        sa.Column("former_until", Timestamp),
        sa.Column("expires_at", Timestamp),
        sa.Column("networks", Document, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.Column("last_used_at", Timestamp),
        sa.Column("last_used_from", sa.Text, nullable=False, server_default=""),
    ]


def upgrade() -> None:
    op.create_table(
        "access_tokens",
        sa.Column("id", Identity, nullable=False),
        sa.Column("user_id", Identity, nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("scopes", Document, nullable=False),
        sa.Column("projects", Document, nullable=False),
        *_secret(),
        sa.PrimaryKeyConstraint("id", name="pk_access_tokens"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_access_tokens_user_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("user_id", "name", name="uq_access_tokens_user_id_name"),
    )
    op.create_index("ix_access_tokens_secret_hash", "access_tokens", ["secret_hash"])
    op.create_index("ix_access_tokens_former_hash", "access_tokens", ["former_hash"])
    op.create_table(
        "robots",
        sa.Column("id", Identity, nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("project_id", Identity),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("permissions", Document, nullable=False),
        sa.Column("duration", sa.Integer, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("creator_kind", sa.Text, nullable=False),
        sa.Column("creator_id", Identity, nullable=False),
        *_secret(),
        sa.PrimaryKeyConstraint("id", name="pk_robots"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_robots_project_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("name", name="uq_robots_name"),
    )
    op.create_index("ix_robots_project_id", "robots", ["project_id"])


def downgrade() -> None:
    op.drop_table("robots")
    op.drop_table("access_tokens")
