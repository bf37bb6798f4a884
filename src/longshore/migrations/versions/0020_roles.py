"""Roles that administrators make, beside Harbor's five, and rules about some repositories of a project.

Revision: 0020
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Document, Identity, Name, Timestamp

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None


_OWNERS = {
    "project_id": "projects",
    "user_id": "users",
    "group_id": "user_groups",
    "custom_role_id": "custom_roles",
}


def upgrade() -> None:
    op.create_table(
        "custom_roles",
        sa.Column("id", Identity, nullable=False, autoincrement=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("permissions", Document, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_custom_roles"),
        sa.UniqueConstraint("name", name="uq_custom_roles_name"),
    )
    with op.batch_alter_table("project_members") as members:
        members.add_column(sa.Column("custom_role_id", Identity))
        members.create_foreign_key(
            "fk_project_members_custom_role_id", "custom_roles", ["custom_role_id"], ["id"]
        )
        members.create_index("ix_project_members_custom_role_id", ["custom_role_id"])
    op.create_table(
        "repository_rules",
        sa.Column("id", Identity, nullable=False),
        sa.Column("project_id", Identity, nullable=False),
        sa.Column("pattern", Name, nullable=False),
        sa.Column("expression", sa.Text, nullable=False),
        sa.Column("allows", sa.Boolean, nullable=False),
        sa.Column("pulls", sa.Boolean, nullable=False),
        sa.Column("pushes", sa.Boolean, nullable=False),
        sa.Column("deletes", sa.Boolean, nullable=False),
        sa.Column("user_id", Identity),
        sa.Column("group_id", Identity),
        sa.Column("role", sa.Integer),
        sa.Column("custom_role_id", Identity),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_repository_rules"),
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{table}.id"], name=f"fk_repository_rules_{column}", ondelete="CASCADE"
            )
            for column, table in _OWNERS.items()
        ),
    )
    for column in _OWNERS:
        op.create_index(f"ix_repository_rules_{column}", "repository_rules", [column])


def downgrade() -> None:
    op.drop_table("repository_rules")
    op.execute("DELETE FROM project_members WHERE custom_role_id IS NOT NULL")
    with op.batch_alter_table("project_members") as members:
        members.drop_index("ix_project_members_custom_role_id")
        members.drop_constraint("fk_project_members_custom_role_id", type_="foreignkey")
        members.drop_column("custom_role_id")
    op.drop_table("custom_roles")
