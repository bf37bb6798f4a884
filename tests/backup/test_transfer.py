"""What is backed up comes back: every row, on either database, or nothing and a reason."""

import gzip
import json
import stat
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from longshore import migrations
from longshore.backup import archive, store, transfer
from longshore.backup.archive import BackupDamaged, BackupFailed, TableStart
from longshore.backup.transfer import back_up, restore
from longshore.db import occupancy
from longshore.db.database import Database
from longshore.db.schema import every_table
from longshore.registry import tables
from tests.backup.rows import contents, fill, opened


def url(kind: str, request: pytest.FixtureRequest, tmp_path: Path, name: str) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/{name}.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def source(tmp_path):
    """A filled SQLite database and its backup."""
    with opened(f"sqlite:///{tmp_path}/source.db") as database:
        fill(database, seed=1)
        back_up(database, tmp_path / "backup")
        yield database


@pytest.fixture
def file(source, tmp_path):
    return tmp_path / "backup"


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request, tmp_path):
    with opened(url(request.param, request, tmp_path, "target"), empty=True) as database:
        yield database


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "other"),
    [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite")],
)
def test_every_row_comes_back(seed, kind, other, request, tmp_path):
    with (
        opened(url(kind, request, tmp_path, "source")) as source,
        opened(url(other, request, tmp_path, "target"), empty=True) as target,
    ):
        fill(source, seed)
        written = back_up(source, tmp_path / "backup")
        restored = restore(target, tmp_path / "backup")

        assert contents(target) == contents(source)
        assert written == restored
        assert sum(written.values()) > 20 * len(every_table().tables)
        assert migrations.current(target) == migrations.HEAD


def test_there_and_back_again_is_the_same_backup(source, file, postgres_url, tmp_path):
    with (
        opened(postgres_url, empty=True) as between,
        opened(f"sqlite:///{tmp_path}/back.db", empty=True) as back,
    ):
        restore(between, file)
        back_up(between, tmp_path / "second")
        restore(back, tmp_path / "second")

        assert contents(back) == contents(source)


def test_more_rows_than_one_batch_come_back(tmp_path, target, monkeypatch):
    monkeypatch.setattr(store, "BATCH_ROWS", 7)
    monkeypatch.setattr(store, "BATCH_BYTES", 100)
    monkeypatch.setattr(store, "FETCHED", 3)
    with opened(f"sqlite:///{tmp_path}/source.db") as source:
        fill(source, seed=5)
        back_up(source, tmp_path / "backup")
        restore(target, tmp_path / "backup")

        assert contents(target) == contents(source)


def test_new_rows_get_keys_above_the_restored_ones(tmp_path, target):
    with opened(f"sqlite:///{tmp_path}/source.db") as source:
        with source.engine.begin() as connection:
            connection.execute(
                insert(tables.repositories).values(id=41, name="team/app", created_at=0.0)
            )
        back_up(source, tmp_path / "backup")
    restore(target, tmp_path / "backup")

    with target.engine.begin() as connection:
        for name in ("one", "two"):
            connection.execute(insert(tables.repositories).values(name=name, created_at=0.0))
        found = list(connection.scalars(select(tables.repositories.c.id).order_by("id")))
    assert found == [41, 42, 43]


def test_no_table_refers_to_itself():
    """Restoring inserts rows in any order within a table, so none may need another of its own."""
    for table in every_table().sorted_tables:
        for key in table.foreign_keys:
            assert key.column.table is not table


def push(database: Database, name: str) -> None:
    """Commit rows to a table that is read early and to one that is read late."""
    with database.engine.connect() as connection:
        writing = connection.execution_options(longshore_writes=True)
        with writing.begin():
            blob = {"digest": f"sha256:{name}", "size": 1, "created_at": 1.0}
            writing.execute(insert(tables.blobs).values(blob))
            writing.execute(insert(tables.settings).values(name=f"of {name}", value={}))


def test_what_is_pushed_meanwhile_is_in_the_backup_as_a_whole_or_not(target, tmp_path, monkeypatch):
    """Something is committed before each table is read."""
    migrations.upgrade(target)
    fill(target, seed=3)
    before = contents(target)
    pushed = []

    class Interrupted(archive.Writer):
        def start(self, table: TableStart) -> None:
            push(target, table.name)
            pushed.append(table.name)
            super().start(table)

    monkeypatch.setattr(archive, "Writer", Interrupted)
    back_up(target, tmp_path / "backup")
    during = contents(target)
    with opened(f"sqlite:///{tmp_path}/restored.db") as restored:
        restore(restored, tmp_path / "backup")

        assert contents(restored) == before
    assert len(pushed) == len(every_table().tables)
    assert during != before


def test_the_file_says_what_it_is_and_is_its_owners_alone(file):
    lines = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]

    assert lines[0]["format"] == "longshore-backup"
    assert lines[0]["schema"] == migrations.HEAD
    assert lines[0]["created"].endswith("Z")
    assert sum(lines[-1]["rows"].values()) == len(lines) - 2 - len(every_table().tables)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in file.parent.glob("*backup*")) == ["backup"]


def test_a_backup_that_fails_leaves_the_former_one(source, file, monkeypatch):
    before = file.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.Writer, "finish", fail)
    with pytest.raises(OSError, match="No space"):
        back_up(source, file)

    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.glob("*backup*")) == ["backup"]


def test_a_backup_replaces_nothing_but_files(source, tmp_path):
    with pytest.raises(BackupFailed, match="not a regular file"):
        back_up(source, tmp_path)


def rewritten(file: Path, change) -> None:
    """Change the uncompressed lines, and compress them again without an error."""
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    file.write_bytes(gzip.compress(b"".join(change(lines))))


DAMAGES = {
    "empty": lambda file: file.write_bytes(b""),
    "something else": lambda file: file.write_bytes(b"PK\x03\x04" + bytes(100)),
    "another gzip": lambda file: file.write_bytes(gzip.compress(b"a sentence\n")),
    "cut in the middle": lambda file: file.write_bytes(
        file.read_bytes()[: file.stat().st_size // 2]
    ),
    "cut at the last byte": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "something behind it": lambda file: file.write_bytes(file.read_bytes() + b"x"),
    "another backup behind it": lambda file: file.write_bytes(file.read_bytes() * 2),
    "a row less": lambda file: rewritten(file, lambda lines: lines[:5] + lines[6:]),
    "a row twice": lambda file: rewritten(file, lambda lines: lines[:5] + lines[4:]),
    "another value": lambda file: rewritten(
        file, lambda lines: [line.replace(b"1", b"2", 1) for line in lines[:9]] + lines[9:]
    ),
    "no last line": lambda file: rewritten(file, lambda lines: lines[:-1]),
    "half a line": lambda file: rewritten(file, lambda lines: [*lines[:-1], lines[-1][:20]]),
    "an empty line": lambda file: rewritten(file, lambda lines: [*lines[:9], b"\n", *lines[9:]]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_before_anything_is_changed(damage, file, tmp_path):
    DAMAGES[damage](file)
    with opened(f"sqlite:///{tmp_path}/target.db") as target:
        fill(target, seed=2)
        before = contents(target)

        with pytest.raises(BackupFailed, match="backup") as refused:
            restore(target, file, replace=True)

        assert "othing was changed" in str(refused.value)
        assert contents(target) == before


def test_any_flipped_bit_is_noticed(file, tmp_path):
    whole = file.read_bytes()
    with opened(f"sqlite:///{tmp_path}/target.db", empty=True) as target:
        # Bytes 4 to 9 are gzip's time and system, which say nothing about the content.
        for place in [*range(4), *range(10, len(whole), len(whole) // 150)]:
            flipped = bytearray(whole)
            flipped[place] ^= 1 << place % 8
            file.write_bytes(flipped)
            with pytest.raises(BackupDamaged):
                restore(target, file)

        assert migrations.current(target) is None


def test_a_file_that_changes_while_it_is_restored_changes_nothing(file, target, monkeypatch):
    """Verified, and another when it is read for the second time."""
    verify = transfer._verify

    def verify_then_damage(source):
        verify(source)
        rewritten(file, lambda lines: lines[:-1])

    monkeypatch.setattr(transfer, "_verify", verify_then_damage)
    with pytest.raises(BackupDamaged, match="its end is missing"):
        restore(target, file)

    assert not any(contents(target).values())


def header(file: Path, **changes: object) -> None:
    def change(lines):
        return [json.dumps({**json.loads(lines[0]), **changes}).encode() + b"\n", *lines[1:]]

    rewritten(file, change)


def test_another_schema_is_refused_with_what_to_do(file, target):
    header(file, schema="0000", longshore="0.0.9")

    with pytest.raises(BackupFailed, match=r"longshore 0\.0\.9 with schema 0000.*restore it with"):
        restore(target, file)
    assert migrations.current(target) is None


def test_another_format_is_refused_with_what_to_do(file, target):
    header(file, version=2, longshore="9.0")

    with pytest.raises(BackupFailed, match=r"longshore 9\.0 in format 2"):
        restore(target, file)


def test_a_database_with_rows_is_only_replaced_when_told(source, file, target):
    migrations.upgrade(target)
    fill(target, seed=2)
    before = contents(target)

    with pytest.raises(BackupFailed, match=r"not empty \(it has rows in .*repositories.*--replace"):
        restore(target, file)
    assert contents(target) == before

    restore(target, file, replace=True)
    assert contents(target) == contents(source)


def test_a_database_that_a_server_writes_is_left_alone(file, target):
    with occupancy.sharing(target), pytest.raises(occupancy.Occupied):
        restore(target, file)

    assert migrations.current(target) is None


def test_an_empty_database_has_nothing_to_back_up(target, tmp_path):
    with pytest.raises(BackupFailed, match="no registry in this database"):
        back_up(target, tmp_path / "nothing")

    assert not (tmp_path / "nothing").exists()


def test_tables_of_somebody_else_are_not_left_out_in_silence(target, tmp_path):
    migrations.upgrade(target)
    with target.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE foreigners (id INTEGER)")

    with pytest.raises(BackupFailed, match="foreigners"):
        back_up(target, tmp_path / "nothing")
