"""Second factors of users, and what ends everything that was proved as a user.

Revision: 0023
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import EncryptedText, Identity, Name, Timestamp

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("generation", sa.Integer, nullable=False, server_default="0"))
    op.add_column(
        "users", sa.Column("second_factor", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("sessions", sa.Column("provider", Name, nullable=False, server_default=""))
    op.create_table(
        "second_factors",
        sa.Column("user_id", Identity, autoincrement=False, nullable=False),
        sa.Column("secret", EncryptedText, nullable=False),
        sa.Column("last_step", sa.BigInteger, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("confirmed_at", Timestamp),
        sa.PrimaryKeyConstraint("user_id", name="pk_second_factors"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_second_factors_user_id", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", Identity, autoincrement=False, nullable=False),
        sa.Column("code_hash", Name, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name="pk_recovery_codes"),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["second_factors.user_id"],
            name="fk_recovery_codes_user_id",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    op.drop_table("recovery_codes")
    op.drop_table("second_factors")
    op.drop_column("sessions", "provider")
    op.drop_column("users", "second_factor")
    op.drop_column("users", "generation")
