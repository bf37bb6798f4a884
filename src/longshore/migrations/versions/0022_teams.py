"""Teams: who may change their members; they are groups of Harbor's kind 2 from now on.

Revision: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "user_group_members",
        sa.Column("maintainer", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    # Two groups of one name are not the same people: the later kind keeps apart by its id.
    op.execute(
        "UPDATE user_groups SET name = name || ' ' || id, external_id = external_id || ' ' || id "
        "WHERE kind = 4 AND external_id IN (SELECT external_id FROM user_groups WHERE kind = 2)"
    )
    op.execute("UPDATE user_groups SET kind = 2 WHERE kind = 4")


def downgrade() -> None:
    op.drop_column("user_group_members", "maintainer")
