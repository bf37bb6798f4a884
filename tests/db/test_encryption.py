"""Secrets in the database: unreadable without their key, and moved to a new one while in use."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, Table, insert, select, update

from longshore.app import prepare
from longshore.cli.main import main
from longshore.config.problems import ConfigurationInvalid
from longshore.db.database import Database
from longshore.db.encryption import Encryption, Undecipherable
from longshore.db.rotation import Batch, Rotation, rotate
from longshore.db.schema import EncryptedText, Identity, Name
from longshore.db.settings import EncryptionSettings
from longshore.settings import load_configuration

OLD, NEW = "an old key of thirty-two letters", "a new key of thirty-two letters!"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    url = (
        f"sqlite:///{tmp_path}/test.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    found = Database(url)
    found.open()
    yield found
    found.close()


@pytest.fixture
def vault(database):
    """A table with secrets, and a way to look into it."""
    table = Table(
        "vault",
        MetaData(),
        Column("place", Name, primary_key=True),
        Column("number", Identity, primary_key=True),
        Column("secret", EncryptedText),
    )
    with database.engine.connect() as connection:
        writing = connection.execution_options(longshore_writes=True)
        with writing.begin():
            table.create(writing)
        yield table, writing
        with writing.begin():
            table.drop(writing)


def rotated(vault, encryption: Encryption) -> Rotation:
    table, connection = vault
    found = Rotation()
    batch: Batch | None = Batch(table, table.c.secret)
    while batch is not None:
        with connection.begin():
            done, batch = rotate(connection, encryption, batch)
        found += done
    return found


def stored(vault) -> list[str | None]:
    table, connection = vault
    with connection.begin():
        return list(connection.scalars(select(table.c.secret).order_by(*table.primary_key)))


def test_what_was_encrypted_is_read_again_and_never_looks_the_same():
    encryption = Encryption([NEW])
    first, second = encryption.encrypt("päss"), encryption.encrypt("päss")

    assert first != second
    assert "päss" not in first
    assert encryption.decrypt(first) == encryption.decrypt(second) == "päss"


def test_every_key_decrypts_and_the_first_encrypts():
    old = Encryption([OLD]).encrypt("s")
    both = Encryption([NEW, OLD])

    assert both.decrypt(old) == "s"
    assert not both.is_current(old)
    assert Encryption([NEW]).decrypt(both.encrypt("s")) == "s"


def test_another_key_and_changed_bytes_are_noticed_and_nothing_is_shown():
    text = Encryption([OLD]).encrypt("hunter2")
    changed = text[:-5] + ("A" if text[-5] != "A" else "B") + text[-4:]

    for found in (Encryption([NEW]), text), (Encryption([OLD]), changed), (Encryption([OLD]), "ä"):
        with pytest.raises(Undecipherable, match=r"longshore\.encryption\.keys") as caught:
            found[0].decrypt(found[1])
        assert "hunter2" not in str(caught.value)
        assert text not in str(caught.value)


def test_rotation_reaches_every_row_and_leaves_what_it_cannot_read(vault):
    table, connection = vault
    old, new = Encryption([OLD]), Encryption([NEW, OLD])
    rows = [{"place": f"p{n % 7}", "number": n, "secret": old.encrypt(str(n))} for n in range(450)]
    rows.append({"place": "lost", "number": 0, "secret": Encryption(["lost"]).encrypt("?")})
    rows.append({"place": "current", "number": 0, "secret": new.encrypt("now")})
    rows.append({"place": "none", "number": 0, "secret": None})
    with connection.begin():
        connection.execute(insert(table), rows)

    found = rotated(vault, new)
    again = rotated(vault, new)

    assert (found.changed, found.current) == (450, 1)
    assert found.undecipherable == again.undecipherable == ("vault.secret",)
    assert (again.changed, again.current) == (0, 451)
    only = Encryption([NEW, "lost"])
    read = sorted(only.decrypt(text) for text in stored(vault) if text is not None)
    assert read == sorted([*map(str, range(450)), "?", "now"])


def test_a_secret_that_is_set_meanwhile_stays_as_it_was_set(vault):
    table, connection = vault
    old, new = Encryption([OLD]), Encryption([NEW, OLD])
    with connection.begin():
        connection.execute(insert(table).values(place="p", number=1, secret=old.encrypt("before")))
    with connection.begin():
        seen = connection.scalar(select(table.c.secret))
        connection.execute(update(table).values(secret=new.encrypt("after")))

    assert not new.is_current(seen)
    rotated(vault, new)
    (left,) = stored(vault)
    assert new.decrypt(left or "") == "after"


def test_a_short_key_is_refused_without_being_shown(tmp_path):
    file = tmp_path / "config.yml"
    file.write_text(
        "version: 0.1\nstorage: inmemory\nlongshore: {encryption: {keys: [tooshort]}}\n"
    )

    with pytest.raises(ConfigurationInvalid, match="key 1 has 8 characters") as caught:
        load_configuration(file, {})
    assert "tooshort" not in str(caught.value)


def test_keys_come_from_the_environment_and_are_not_shown():
    loaded = load_configuration(None, {"LONGSHORE_ENCRYPTION_KEYS": f"[{NEW}, {OLD}]"})
    keys = loaded[EncryptionSettings].keys

    assert [key.get_secret_value() for key in keys] == [NEW, OLD]
    assert NEW not in repr(loaded[EncryptionSettings])


def test_the_documented_configuration_is_one(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (example,) = re.findall(
        r"^```yaml\n(longshore:\n  encryption:\n.*?)^```", page, re.DOTALL | re.MULTILINE
    )
    file = tmp_path / "config.yml"
    file.write_text(f"version: 0.1\nstorage: inmemory\n{example}")

    assert len(load_configuration(file, {})[EncryptionSettings].keys) == 1


def test_the_command_rotates_beside_a_database_without_secrets(tmp_path, monkeypatch, capsys):
    file = tmp_path / "config.yml"
    file.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}}}}}\n")
    installation = prepare(load_configuration(file, {}), tmp_path)
    kept = installation.encryption.encrypt("kept")

    with pytest.raises(SystemExit) as ended:
        main(["encryption", "rotate", "--config", str(file)])

    assert ended.value.code == 0
    assert "0 secrets were encrypted anew" in capsys.readouterr().err
    file.write_text(f"{file.read_text()}http: {{secret: {NEW}}}\n")
    later = prepare(load_configuration(file, {}), tmp_path).encryption
    assert later.decrypt(kept) == "kept"
    assert not later.is_current(kept)
