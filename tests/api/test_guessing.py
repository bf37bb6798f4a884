"""Guessing passwords: slower with every miss on every node, and nobody is locked out by somebody else."""

from functools import partial

import anyio
import pytest

from longshore.access import passwords
from longshore.identity import store
from longshore.identity.changes import Changes
from longshore.identity.lockout import PER_USER, Lockout
from longshore.outbox.recording import Outbox
from tests.services.management import PASSWORD, management_of

pytestmark = pytest.mark.anyio

PROXIED = {"longshore": {"http": {"trustedproxies": ["127.0.0.1"]}}}


async def log_in(node, user, password, address="203.0.113.9"):
    form = {"principal": user, "password": password}
    headers = {"X-Forwarded-For": address}
    node.client.cookies.clear()
    reply = await node.ask("", "POST", "/c/login", data=form, headers=headers)
    node.client.cookies.clear()
    return reply


@pytest.fixture
async def nodes(database_url, tmp_path):
    """Two processes of one registry, with the user dora."""
    async with (
        management_of(database_url, tmp_path, 0, **PROXIED) as one,
        management_of(database_url, tmp_path, 1, **PROXIED) as two,
    ):
        await one.add_user("dora")
        yield one, two


async def test_misses_count_whichever_node_is_asked(nodes):
    for number in range(5):
        reply = await log_in(nodes[number % 2], "dora", f"Wrong123{number}")
        assert reply.status_code == 401

    for node in nodes:
        reply = await log_in(node, "dora", PASSWORD)
        assert reply.status_code == 429
        assert int(reply.headers["retry-after"]) >= 1
        assert PASSWORD not in reply.text
    # Others at that address, and that user elsewhere, are not held up.
    assert (await log_in(nodes[0], "admin", PASSWORD)).status_code == 200
    assert (await log_in(nodes[0], "dora", PASSWORD, "203.0.113.10")).status_code == 200


async def test_a_stranger_slows_a_user_down_only_where_they_never_were(nodes):
    one, two = nodes
    assert (await log_in(one, "dora", PASSWORD, "198.51.100.1")).status_code == 200
    lockout = Lockout(one.database, Changes(one.database, Outbox(())))
    for number in range(PER_USER.free + 6):
        await lockout.failed("dora", f"192.0.2.{number}")

    # A process that has never seen her, so nothing is remembered there.
    held_up = await log_in(two, "dora", PASSWORD, "198.51.100.2")
    assert held_up.status_code == 429
    assert 1 < int(held_up.headers["retry-after"]) <= PER_USER.longest
    assert (await log_in(two, "dora", PASSWORD, "198.51.100.1")).status_code == 200


async def test_a_success_forgets_the_misses_and_names_are_not_kept(nodes):
    one, two = nodes
    for _ in range(4):
        await log_in(one, "dora", "Wrong1234")
    assert (await log_in(two, "dora", PASSWORD)).status_code == 200
    for _ in range(4):
        assert (await log_in(two, "dora", "Wrong1234")).status_code == 401

    def rows(connection):
        return str(connection.exec_driver_sql("SELECT * FROM login_misses").all())

    assert "dora" not in await one.database.read(rows)
    removed = await one.database.write(partial(store.remove_old_misses, misses=3e10, known=0.0))
    assert removed == 3
    assert await one.database.write(partial(store.remove_old_misses, misses=0.0, known=3e10)) == 1


async def test_who_does_not_exist_costs_the_same_work(management, monkeypatch):
    await management.add_user("dora")
    checked: list[str] = []
    verify = passwords.verify

    def counting(hashed: str, password: bytes) -> bool:
        checked.append(hashed.rsplit("$", 2)[0])
        return verify(hashed, password)

    monkeypatch.setattr(passwords, "verify", counting)
    for name in ("dora", "nobody"):
        assert (await log_in(management, name, "Wrong1234")).status_code == 401

    assert len(checked) == 2
    assert checked[0] == checked[1]


async def test_misses_are_in_the_audit_log_without_the_password(management):
    await management.add_user("dora")
    await log_in(management, "dora", "Wrong1234")
    # With each request, too; and a name that nobody has may be a password in the wrong place.
    await management.ask("Hidden99", "GET", "/users/current", password="Wrong1234")

    found, rows = [], []  # type: ignore[var-annotated]
    with anyio.fail_after(20):
        while len(rows) < 2:
            await anyio.sleep(0.1)
            found = (await management.ask("admin", "GET", "/auditlog-exts")).json()
            # The administrator logs in with these requests, too.
            logins = [row for row in found if row["operation"] == "login"]
            rows = [row for row in logins if row["resource"] != "admin"]
    assert {row["resource"] for row in rows} == {"dora", "(unknown)"}
    assert not any(row["operation_result"] for row in rows)
    assert "Wrong1234" not in str(found)
    assert "Hidden99" not in str(found)
