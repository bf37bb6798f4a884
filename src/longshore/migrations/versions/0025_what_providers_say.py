"""Which provider somebody is in a group by, and an administrator by; new people of providers who choose a name.

Revision: 0025
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Document, Name, Timestamp

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_KEY = "pk_user_group_members"


def upgrade() -> None:
    with op.batch_alter_table("user_group_members") as members:
        # Empty also where a provider gave it before that was noted: the next login settles it.
        members.add_column(sa.Column("provider", Name, nullable=False, server_default=""))
        members.drop_constraint(_KEY, type_="primary")
        members.create_primary_key(_KEY, ["group_id", "user_id", "provider"])
    op.add_column("users", sa.Column("admin_by", Name, server_default=""))
    op.execute(
        "UPDATE users SET admin_by = NULL WHERE is_admin AND id IN (SELECT user_id FROM user_identities)"
    )
    op.create_table(
        "signups",
        sa.Column("token_hash", Name, nullable=False),
        sa.Column("provider", Name, nullable=False),
        sa.Column("subject", Name, nullable=False),
        sa.Column("content", Document, nullable=False),
        sa.Column("expires_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_signups"),
        sa.UniqueConstraint("provider", "subject", name="uq_signups_provider_subject"),
    )
    op.create_index("ix_signups_expires_at", "signups", ["expires_at"])


def downgrade() -> None:
    op.drop_table("signups")
    op.drop_column("users", "admin_by")
    # Whoever is in a group by several providers is in it once.
    op.execute(
        "DELETE FROM user_group_members WHERE EXISTS (SELECT 1 FROM user_group_members AS other "
        "WHERE other.group_id = user_group_members.group_id AND other.user_id = user_group_members.user_id "
        "AND other.provider < user_group_members.provider)"
    )
    with op.batch_alter_table("user_group_members") as members:
        members.drop_constraint(_KEY, type_="primary")
        members.create_primary_key(_KEY, ["group_id", "user_id"])
        members.drop_column("provider")
