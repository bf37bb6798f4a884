"""Values that change with everything that pulls are answered from, on SQLite.

Revision: 0029
"""

import sqlalchemy as sa
from alembic import op

from longshore.db.schema import Name

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

#: What ``longshore.registry.store.find_manifest`` and ``find_blob`` read, the names under which repositories are
#: found, and lists of tags: (value, event, table, when). Collection and scrub change blobs all the time, in ways that
#: no manifest's answer has: those are left out. So is what only adds what was not there, for nobody remembers that.
#: Keys delete and refuse by themselves, but not for whoever changes the file with a program that does not heed them.
_BAD_OR_ELSEWHERE = "{0}.state = 'quarantined' OR {0}.backend <> ''"
_WATCHED = (
    ("manifests", "INSERT", "repositories", ""),
    ("manifests", "UPDATE", "repositories", ""),
    ("manifests", "DELETE", "repositories", ""),
    ("manifests", "UPDATE", "manifests", ""),
    ("manifests", "DELETE", "manifests", ""),
    ("manifests", "INSERT", "tags", ""),
    ("manifests", "UPDATE", "tags", ""),
    ("manifests", "DELETE", "tags", ""),
    ("manifests", "INSERT", "blobs", _BAD_OR_ELSEWHERE.format("NEW")),
    (
        "manifests",
        "UPDATE OF state, backend",
        "blobs",
        f"{_BAD_OR_ELSEWHERE.format('OLD')} OR {_BAD_OR_ELSEWHERE.format('NEW')}",
    ),
    ("manifests", "DELETE", "blobs", _BAD_OR_ELSEWHERE.format("OLD")),
    ("blobs", "UPDATE", "repositories", ""),
    ("blobs", "DELETE", "repositories", ""),
    ("blobs", "UPDATE", "repository_blobs", ""),
    ("blobs", "DELETE", "repository_blobs", ""),
    ("blobs", "UPDATE OF size, state, backend", "blobs", ""),
    ("blobs", "DELETE", "blobs", ""),
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return  # all pushes would wait for one row there
    op.create_table(
        "pull_generation",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("manifests", Name, nullable=False),
        sa.Column("blobs", Name, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pull_generation"),
    )
    op.execute("INSERT INTO pull_generation (id, manifests, blobs) VALUES (1, '', '')")
    for value, event, table, when in _WATCHED:
        # By chance, not counted: a file that was put back from a copy might come by the same number twice.
        change = f"UPDATE pull_generation SET {value} = hex(randomblob(8))"  # noqa: S608 - names of ours
        trigger = f"{_name(value, event, table)} AFTER {event} ON {table}"
        op.execute(f"CREATE TRIGGER {trigger} {when and f'WHEN {when}'} BEGIN {change}; END")


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    for value, event, table, _ in _WATCHED:
        op.execute(f"DROP TRIGGER {_name(value, event, table)}")
    op.drop_table("pull_generation")


def _name(value: str, event: str, table: str) -> str:
    return f"{value}_changed_by_{event.partition(' ')[0].lower()}_{table}"
