"""Every door that takes a password: how much work it does (unknown users), and how long it goes on (guessing)."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlalchemy import select

from longshore.access import passwords
from longshore.db.database import Connection
from longshore.identity.changes import Changes
from longshore.identity.lockout import Lockout
from longshore.identity.tables import login_misses
from longshore.outbox.recording import Outbox
from tests.services.browser import Browser
from tests.services.management import PASSWORD, Management

pytestmark = pytest.mark.anyio

WRONG = "Wrong1234"
Door = Callable[[Management, str, str], Awaitable[httpx.Response]]


async def _form(node: Management, user: str, password: str) -> httpx.Response:
    return await Browser(node).log_in(user, password)


def _basic(method: str, path: str) -> Door:
    async def ask(node: Management, user: str, password: str) -> httpx.Response:
        return await node.ask(user, method, path, password=password)

    return ask


async def _grant(node: Management, user: str, password: str) -> httpx.Response:
    form = {"grant_type": "password", "username": user, "password": password, "service": "x"}
    return await node.ask("", "POST", "/service/token", data=form)


OPEN = "a list that needs no login"
DOORS: dict[str, Door] = {
    "the form of browsers": _form,
    "the management API": _basic("GET", "/users/current"),
    OPEN: _basic("GET", "/projects"),
    "the registry's API": _basic("GET", "/v2/"),
    "tokens by GET": _basic("GET", "/service/token"),
    "tokens by POST": _grant,
}


@pytest.fixture
async def node(embedded: Management) -> Management:
    """A registry with the user dora."""
    await embedded.add_user("dora")
    return embedded


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parameters of every hash that was computed."""
    found: list[str] = []
    verify = passwords.verify

    def counting(hashed: str, password: bytes) -> bool:
        found.append(hashed.rsplit("$", 2)[0])
        return verify(hashed, password)

    monkeypatch.setattr(passwords, "verify", counting)
    return found


@pytest.mark.parametrize("door", DOORS)
async def test_a_name_that_nobody_has_costs_as_much_and_says_as_much(
    node: Management, checked: list[str], door: str
) -> None:
    replies = [await DOORS[door](node, name, WRONG) for name in ("dora", "nobody")]

    assert len(checked) == 2
    assert checked[0] == checked[1]
    assert checked[0].startswith("$argon2id$")
    assert len({reply.status_code for reply in replies}) == 1
    first, second = (reply.text.replace("nobody", "dora") for reply in replies)
    assert first == second


@pytest.mark.parametrize("door", DOORS)
async def test_misses_at_every_door_are_counted_for_all(node: Management, door: str) -> None:
    def counts(connection: Connection) -> list[int]:
        return list(connection.scalars(select(login_misses.c.misses)))

    for number in (1, 2):
        await DOORS[door](node, "dora", f"{WRONG}{number}")
        found = await node.database.read(counts)
        assert number in found, found


async def test_who_missed_too_often_finds_every_door_closed(node: Management) -> None:
    # So often that the pause outlasts this test: the first ones are of a second.
    lockout = Lockout(node.database, Changes(node.database, Outbox(())))
    for _ in range(20):
        await lockout.failed("dora", "127.0.0.1")

    for name, door in DOORS.items():
        reply = await door(node, "dora", PASSWORD)
        if name == OPEN:  # where no login is needed a login that is refused is none
            assert reply.status_code in (200, 429), name
            continue
        assert reply.status_code == 429, (name, reply.text)
        assert int(reply.headers["retry-after"]) >= 1


async def test_who_found_an_open_browser_guesses_the_password_no_quicker(node: Management) -> None:
    browser = Browser(node)
    await browser.log_in("dora")
    dora = (await browser.ask("GET", "/users/current")).json()["user_id"]
    body = {"old_password": WRONG, "new_password": "Another12"}
    path = f"/users/{dora}/password"
    lockout = Lockout(node.database, Changes(node.database, Outbox(())))

    assert (await browser.ask("PUT", path, json=body)).status_code == 403
    for _ in range(20):
        await lockout.failed("dora", "127.0.0.1")
    reply = await browser.ask("PUT", path, json={**body, "old_password": f"{WRONG}5"})
    assert reply.status_code == 429, reply.text
