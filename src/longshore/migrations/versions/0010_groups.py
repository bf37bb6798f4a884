"""Groups, which may be members of projects; the namespace of a repository; whom other systems know.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Identity, Name, Timestamp

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _add_namespaces()
    op.create_table(
        "user_groups",
        sa.Column("id", Identity, nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("external_id", Name, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_groups"),
        sa.UniqueConstraint("kind", "external_id", name="uq_user_groups_kind_external_id"),
    )
    op.create_index("ix_user_groups_name", "user_groups", ["name"])
    op.create_table(
        "user_group_members",
        sa.Column("group_id", Identity, nullable=False),
        sa.Column("user_id", Identity, nullable=False),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_user_group_members"),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["user_groups.id"],
            name="fk_user_group_members_group_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_group_members_user_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_user_group_members_user_id", "user_group_members", ["user_id"])
    op.create_table(
        "user_identities",
        sa.Column("provider", Name, nullable=False),
        sa.Column("subject", Name, nullable=False),
        sa.Column("user_id", Identity, nullable=False),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.PrimaryKeyConstraint("provider", "subject", name="pk_user_identities"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_identities_user_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_user_identities_user_id", "user_identities", ["user_id"])
    for table in ("users", "projects"):
        op.add_column(table, sa.Column("updated_at", Timestamp, nullable=False, server_default="0"))
        op.execute(f"UPDATE {table} SET updated_at = created_at")  # noqa: S608 - two constants
    op.add_column("users", sa.Column("comment", sa.Text, nullable=False, server_default=""))
    with op.batch_alter_table("project_members") as members:
        members.alter_column("user_id", existing_type=Identity, nullable=True)
        members.add_column(sa.Column("group_id", Identity))
        members.create_unique_constraint(
            "uq_project_members_project_id_group_id", ["project_id", "group_id"]
        )
        members.create_foreign_key(
            "fk_project_members_group_id",
            "user_groups",
            ["group_id"],
            ["id"],
            ondelete="CASCADE",
        )
        members.create_index("ix_project_members_group_id", ["group_id"])


def _add_namespaces() -> None:
    op.add_column("repositories", sa.Column("namespace", Name, nullable=False, server_default=""))
    if op.get_bind().dialect.name == "sqlite":
        first = "substr(name, 1, instr(name, '/') - 1)"
    else:
        first = "split_part(name, '/', 1)"
    op.execute(
        f"UPDATE repositories SET namespace = CASE WHEN name LIKE '%/%' THEN {first} "  # noqa: S608 - constants
        "ELSE 'library' END"
    )
    op.create_index("ix_repositories_namespace_name", "repositories", ["namespace", "name"])


def downgrade() -> None:
    op.execute("DELETE FROM project_members WHERE user_id IS NULL")
    with op.batch_alter_table("project_members") as members:
        members.drop_index("ix_project_members_group_id")
        members.drop_constraint("fk_project_members_group_id", type_="foreignkey")
        members.drop_constraint("uq_project_members_project_id_group_id", type_="unique")
        members.drop_column("group_id")
        members.alter_column("user_id", existing_type=Identity, nullable=False)
    op.drop_column("users", "comment")
    for table in ("projects", "users"):
        op.drop_column(table, "updated_at")
    op.drop_table("user_identities")
    op.drop_table("user_group_members")
    op.drop_table("user_groups")
    op.drop_index("ix_repositories_namespace_name", "repositories")
    op.drop_column("repositories", "namespace")
