"""Indexes for lists of the management API: what is newest, what indexes list, how much blobs take.

Revision: 0027
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None

_CHILDREN = "kind = 'child'"


def upgrade() -> None:
    op.create_index("ix_users_created_at", "users", ["created_at"])
    op.create_index("ix_repositories_created_at_id", "repositories", ["created_at", "id"])
    op.create_index("ix_blobs_size", "blobs", ["size"])
    op.create_index(
        "ix_manifest_references_children",
        "manifest_references",
        ["repository_id", "digest"],
        sqlite_where=sa.text(_CHILDREN),
        postgresql_where=sa.text(_CHILDREN),
    )


def downgrade() -> None:
    op.drop_index("ix_manifest_references_children", "manifest_references")
    op.drop_index("ix_blobs_size", "blobs")
    op.drop_index("ix_repositories_created_at_id", "repositories")
    op.drop_index("ix_users_created_at", "users")
