"""What is remembered of the links that another registry left in storage.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Name, Timestamp

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "linked_repositories",
        sa.Column("name", Name, nullable=False),
        sa.Column("indexed_at", Timestamp),
        sa.PrimaryKeyConstraint("name", name="pk_linked_repositories"),
    )
    waiting = sa.text("indexed_at IS NULL")
    op.create_index(
        "ix_linked_repositories_waiting",
        "linked_repositories",
        ["name"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_table(
        "given_tags",
        sa.Column("repository", Name, nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("digest", Name, nullable=False),
        sa.Column("at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("repository", "name", name="pk_given_tags"),
    )
    op.create_table(
        "adoption_troubles",
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_adoption_troubles"),
    )
    op.create_index("ix_adoption_troubles_repository", "adoption_troubles", ["repository"])


def downgrade() -> None:
    op.drop_table("adoption_troubles")
    op.drop_table("given_tags")
    op.drop_table("linked_repositories")
