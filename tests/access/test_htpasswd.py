"""The password file: what is read, what is refused, and that changes count at once."""

import logging
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.access import htpasswd as password_file
from longshore.access import passwords
from longshore.access.errors import AccessError
from longshore.access.passwords import hash_password
from tests.access.conftest import QUICK
from tests.access.parts import Registry, basic, edit, serving

PATH = Path("users")

FOREIGN = {
    "$apr1$Gh5kXuVY$CbXxoYQUGWUBVzLg1ZtZb.": "Apache's MD5",
    "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=": "SHA-1",
    "$1$abcdefgh$wRXPYvLbwwwkkZQYlM5PU.": "MD5 crypt",
    "$5$rounds=5000$salt$hash": "SHA-256 crypt",
    "$6$salt$hash": "SHA-512 crypt",
    "$2x$05$CFkRRYDnXVXhGTFP3uDnc.Vi5xPBQ9cKVJ4YmIz8f2jWSJEhGVYSC": "$2x$",
    "$2y$99$CFkRRYDnXVXhGTFP3uDnc.Vi5xPBQ9cKVJ4YmIz8f2jWSJEhGVYSC": "damaged bcrypt",
    "$argon2id$nonsense": "damaged argon2",
    "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA": "4194304 KiB",
    "rqXexS6ZhobKA": "DES crypt",
    "secret": "plain text",
}


async def _status(registry: Registry, user: str, password: str) -> int:
    response = await registry.ask("GET", "/v2/", authorization=basic(user, password))
    return response.status_code


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
@pytest.mark.anyio
async def test_all_good_bcrypt_prefixes_and_argon2_log_in(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "users"
    bcrypt = prefix + hash_password(b"secret", 4)[4:]
    path.write_text(f"bee:{bcrypt}\nargo:{QUICK.hash(b'secret')}\n")
    async with serving({"htpasswd": {"path": path}}) as registry:
        assert await _status(registry, "bee", "secret") == 200
        assert await _status(registry, "argo", "secret") == 200
        assert await _status(registry, "bee", "Secret") == 401
        assert await _status(registry, "argo", "Secret") == 401


@pytest.mark.parametrize("hashed", FOREIGN)
@pytest.mark.anyio
async def test_a_foreign_hash_is_refused_by_name_and_the_others_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, hashed: str
) -> None:
    path = tmp_path / "users"
    path.write_text(f"old:{hashed}\nnew:{hash_password(b'secret', 4)}\n")
    async with serving({"htpasswd": {"path": path}}) as registry:
        assert FOREIGN[hashed] in caplog.text
        assert "line 1: user 'old' cannot log in" in caplog.text
        assert f"longshore htpasswd -B {path} old" in caplog.text
        assert hashed not in re.sub(r"\$2x\$", "", caplog.text)
        assert await _status(registry, "old", "secret") == 401
        assert await _status(registry, "new", "secret") == 200


@pytest.mark.parametrize("content", [b"no colon here\n", b":$2y$\n", b"\xff:x\n"])
@pytest.mark.anyio
async def test_a_file_that_is_no_password_file_stops_the_start(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "users"
    path.write_bytes(content)
    with pytest.raises(AccessError) as caught:
        async with serving({"htpasswd": {"path": path}}):
            pass
    assert str(path) in str(caught.value)
    assert "no colon here" not in str(caught.value)


@pytest.mark.anyio
async def test_a_missing_file_is_made_with_a_random_password_that_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "below" / "users"
    async with serving({"htpasswd": {"path": path}}) as registry:
        found = re.search(r"user 'docker' and the password '([^']{40,})'", caplog.text)
        assert found is not None
        assert await _status(registry, "docker", found[1]) == 200
        assert await _status(registry, "docker", "docker") == 401
    assert path.stat().st_mode & 0o777 == 0o600
    caplog.clear()
    async with serving({"htpasswd": {"path": path}}) as registry:
        assert await _status(registry, "docker", found[1]) == 200
    assert found[1] not in caplog.text


@pytest.mark.anyio
async def test_a_missing_file_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AccessError, match="longshore htpasswd -c"):
        async with serving({"htpasswd": {"path": tmp_path / "file" / "users"}}):
            pass


@pytest.mark.anyio
async def test_new_users_and_passwords_count_at_once(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        assert await _status(registry, "dora", "dora-secret") == 401
        with htpasswd.open("a") as file:
            file.write(f"dora:{hash_password(b'dora-secret', 4)}\n")
        # The clock stands still: not even a second has passed.
        assert await _status(registry, "dora", "dora-secret") == 200


@pytest.mark.anyio
async def test_removed_users_and_old_passwords_are_out_within_a_second(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        assert await _status(registry, "alice", "alice-secret") == 200
        assert await _status(registry, "bob", "bob-secret") == 200
        replacement = htpasswd.with_name("new")
        replacement.write_text(f"bob:{hash_password(b'changed', 4)}\n")
        os.replace(replacement, htpasswd)
        registry.clock.advance(1.1)
        assert await _status(registry, "alice", "alice-secret") == 401
        assert await _status(registry, "bob", "bob-secret") == 401
        assert await _status(registry, "bob", "changed") == 200


@pytest.mark.parametrize("damage", ["broken", "removed"])
@pytest.mark.anyio
async def test_a_file_damaged_while_serving_leaves_the_last_good_one_in_force(
    htpasswd: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    caplog.set_level(logging.ERROR)
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        kept = htpasswd.with_name("kept")
        os.link(htpasswd, kept)
        htpasswd.with_name("broken").write_text("what is this\n")
        if damage == "broken":
            os.replace(htpasswd.with_name("broken"), htpasswd)
        else:
            os.unlink(htpasswd)
        for _ in range(3):
            registry.clock.advance(2)
            assert await _status(registry, "alice", "alice-secret") == 200
        assert len(caplog.records) == 1
        assert "stays in force" in caplog.text
        edit(kept, b"alice", b"alicia")
        os.replace(kept, htpasswd)
        registry.clock.advance(2)
        assert await _status(registry, "alice", "alice-secret") == 401
        assert await _status(registry, "alicia", "alice-secret") == 200


def test_the_last_line_of_a_name_wins_as_in_distribution() -> None:
    users = password_file.parse(
        f"a:{hash_password(b'1', 4)}\n a:{hash_password(b'2', 4)} \n".encode(), PATH
    )
    assert not users.verify("a", b"1")
    assert users.verify("a", b"2")


def test_passwords_are_cut_where_bcrypt_cuts_them() -> None:
    hashed = hash_password(b"x" * 72, 4)
    assert passwords.verify(hashed, b"x" * 100)
    assert not passwords.verify(hashed, b"x" * 71)
    with pytest.raises(ValueError, match="73 bytes"):
        hash_password(b"x" * 73, 4)


def test_an_unknown_user_costs_the_check_of_a_hash_like_the_others() -> None:
    bcrypt = [hash_password(b"a", 4), hash_password(b"b", 4), hash_password(b"c", 5)]
    assert passwords.decoy(bcrypt).startswith("$2y$04$")
    assert passwords.complaint(passwords.decoy(bcrypt)) is None
    argon = [QUICK.hash("a"), QUICK.hash("b"), *bcrypt[2:]]
    assert passwords.decoy(argon).startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert passwords.complaint(passwords.decoy(argon)) is None
    assert not passwords.verify(passwords.decoy(argon), b"a")
    assert passwords.decoy([]).startswith(f"$2b${passwords.DEFAULT_COST}$")
    assert passwords.decoy(bcrypt) != passwords.decoy(bcrypt)


@given(st.binary(max_size=80))
def test_any_password_is_right_or_wrong_and_never_an_error(password: bytes) -> None:
    assert passwords.verify(hash_password(password[:72], 4), password)
    assert not passwords.verify(passwords.decoy([]).replace("$10$", "$04$"), password)


@given(st.binary(max_size=200))
def test_any_content_is_users_or_an_error_that_names_the_file(content: bytes) -> None:
    try:
        password_file.entries(content, PATH)
    except AccessError as error:
        assert "users" in str(error)


@given(st.text(max_size=120), st.binary(max_size=10))
def test_any_hash_is_verified_or_has_a_complaint(hashed: str, password: bytes) -> None:
    if passwords.complaint(hashed) is not None:
        assert not passwords.verify(hashed, password)
