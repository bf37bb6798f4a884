"""Logging in: proved once and remembered, slower with every miss, and nobody pays for others."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest

from longshore.access import htpasswd as password_file
from longshore.access.credentials import Logins
from longshore.access.header import Login
from longshore.access.htpasswd import Users
from longshore.access.throttle import PER_ADDRESS, Backoff, Throttle, network
from longshore.access.verification import Verifications
from longshore.access.watched import WatchedFile
from longshore.oci.errors import TooManyRequests, Unavailable
from tests.access.parts import Clock, basic, edit, elsewhere, serving

pytestmark = pytest.mark.anyio

ALICE = basic("alice", "alice-secret")


@dataclass(frozen=True, slots=True)
class CountedUsers(Users):
    """Users that remember how often a password was checked."""

    checked: list[str] = field(default_factory=list)

    def verify(self, name: str, password: bytes) -> bool:
        self.checked.append(name)
        return Users.verify(self, name, password)


class Counted:
    """Logins over a file, and the names whose passwords were checked so far."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.checked: list[str] = []
        self.file = WatchedFile(path, partial(self._parse, path=path), clock=clock)
        self.logins = Logins(self.file, clock=clock)

    def _parse(self, data: bytes, path: Path) -> Users:
        users = password_file.parse(data, path)
        return CountedUsers(users.hashes, users.decoy, users.seals, self.checked)

    async def log_in(self, password: str = "alice-secret") -> str:  # noqa: S107
        user = "alice"
        value = basic(user, password).encode()
        await self.logins.fresh()
        principal = self.logins.proved(value) or await self.logins.prove(
            value, Login(user, password.encode()), "192.0.2.1"
        )
        return principal.name if principal else ""


async def test_a_password_is_checked_once_and_remembered_for_a_minute(htpasswd: Path) -> None:
    clock = Clock()
    counted = Counted(htpasswd, clock)
    await counted.logins.start()
    for _ in range(5):
        assert await counted.log_in() == "alice"
    assert counted.checked == ["alice"]
    clock.advance(61)
    assert await counted.log_in() == "alice"
    assert counted.checked == ["alice", "alice"]
    counted.logins.stop()


async def test_a_wrong_password_is_never_remembered(htpasswd: Path) -> None:
    counted = Counted(htpasswd, Clock())
    await counted.logins.start()
    assert await counted.log_in(password="no") == ""
    assert await counted.log_in(password="no") == ""
    assert counted.checked == ["alice", "alice"]
    counted.logins.stop()


async def test_a_changed_file_makes_every_login_prove_itself_again(htpasswd: Path) -> None:
    clock = Clock()
    counted = Counted(htpasswd, clock)
    await counted.logins.start()
    assert await counted.log_in() == "alice"
    edit(htpasswd, new=b"# changed\n")
    clock.advance(1.1)
    assert await counted.log_in() == "alice"
    assert await counted.log_in() == "alice"
    assert counted.checked == ["alice", "alice"]
    counted.logins.stop()


async def test_the_same_login_sent_many_times_at_once_is_checked_once(htpasswd: Path) -> None:
    counted = Counted(htpasswd, Clock())
    await counted.logins.start()
    names: list[str] = []

    async def log_in() -> None:
        names.append(await counted.log_in())

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(log_in)
    assert names == ["alice"] * 50
    assert counted.checked == ["alice"]
    counted.logins.stop()


async def test_who_hangs_up_early_neither_stops_the_check_nor_escapes_the_count(
    htpasswd: Path,
) -> None:
    counted = Counted(htpasswd, Clock())
    await counted.logins.start()
    for number in range(5):
        with anyio.move_on_after(0):
            await counted.log_in(password=f"guess {number}")
    with pytest.raises(TooManyRequests):
        await counted.log_in(password="guess 6")
    counted.logins.stop()


async def test_more_checks_than_may_wait_are_turned_away() -> None:
    verifications: Verifications[None] = Verifications(waiting=2)
    block = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(verifications.run, b"1", block.wait)
        tasks.start_soon(verifications.run, b"2", block.wait)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(verifications.run, b"2", block.wait)
        with pytest.raises(Unavailable) as caught:
            await verifications.run(b"3", block.wait)
        assert caught.value.headers["Retry-After"] == "2"
        block.set()
    await verifications.run(b"3", block.wait)
    verifications.close()


async def test_guessing_gets_slower_and_says_how_long_to_wait(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        waits = []
        for number in range(8):
            response = await registry.ask(
                "GET", "/v2/", authorization=basic("alice", f"guess {number}")
            )
            if response.status_code == 429:
                waits.append(int(response.headers["retry-after"]))
                assert response.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
                assert f"wait {waits[-1]} s" in response.text
                registry.clock.advance(waits[-1])
                response = await registry.ask("GET", "/v2/", authorization=basic("alice", "no"))
            assert response.status_code == 401
        assert waits == [1, 2, 4]
        # The right password is not believed early either, or guessing would not be slow.
        response = await registry.ask("GET", "/v2/", authorization=ALICE)
        assert response.status_code == 429
        registry.clock.advance(8)
        response = await registry.ask("GET", "/v2/", authorization=ALICE)
        assert response.status_code == 200


async def test_success_forgets_the_misses(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        for _ in range(3):
            for number in range(4):
                response = await registry.ask(
                    "GET", "/v2/", authorization=basic("alice", f"guess {number}")
                )
                assert response.status_code == 401
            registry.clock.advance(100)  # so that the password is checked, not remembered
            response = await registry.ask("GET", "/v2/", authorization=ALICE)
            assert response.status_code == 200


async def test_guessing_slows_neither_the_remembered_nor_other_users_nor_other_addresses(
    htpasswd: Path,
) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        assert (await registry.ask("GET", "/v2/", authorization=ALICE)).status_code == 200
        guess = basic("alice", "guess")
        for _ in range(10):
            await registry.ask("GET", "/v2/", authorization=guess)
        assert (await registry.ask("GET", "/v2/", authorization=guess)).status_code == 429
        assert (await registry.ask("GET", "/v2/", authorization=ALICE)).status_code == 200
        bob = basic("bob", "bob-secret")
        assert (await registry.ask("GET", "/v2/", authorization=bob)).status_code == 200
        registry.clock.advance(0.5)
        edit(htpasswd, new=b"# forget who is remembered\n")
        registry.clock.advance(0.6)
        async with elsewhere(registry, "198.51.100.7") as other:
            assert (await other.ask("GET", "/v2/", authorization=ALICE)).status_code == 200


async def test_the_settings_say_how_much_guessing_is_free(htpasswd: Path) -> None:
    access = {"loginbackoff": {"attempts": 1, "longest": "3s"}}
    async with serving({"htpasswd": {"path": htpasswd}}, access) as registry:
        waits = []
        for _ in range(4):
            await registry.ask("GET", "/v2/", authorization=basic("alice", "no"))
            response = await registry.ask("GET", "/v2/", authorization=basic("alice", "no"))
            waits.append(int(response.headers["retry-after"]))
            registry.clock.advance(waits[-1])
        assert waits == [1, 2, 3, 3]


async def test_trying_many_names_from_one_address_is_slowed_except_for_who_was_there_before() -> (
    None
):
    clock = Clock()
    throttle = Throttle(clock=clock)
    throttle.admit("bob", "192.0.2.1")
    throttle.succeeded("bob", "192.0.2.1")
    for number in range(PER_ADDRESS.free):
        throttle.admit(f"user {number}", "192.0.2.1")
        throttle.failed("192.0.2.1")
    with pytest.raises(TooManyRequests):
        throttle.admit("eve", "192.0.2.1")
    throttle.admit("bob", "192.0.2.1")
    throttle.admit("eve", "192.0.2.2")
    clock.advance(1)
    throttle.admit("eve", "192.0.2.1")


async def test_misses_are_forgotten_after_half_an_hour_and_the_table_is_bounded() -> None:
    clock = Clock()
    throttle = Throttle(per_login=Backoff(1, 60), clock=clock)
    throttle.admit("alice", "192.0.2.1")
    with pytest.raises(TooManyRequests):
        throttle.admit("alice", "192.0.2.1")
    for number in range(20_000):
        throttle.admit("x" * 1000, f"10.0.{number // 256}.{number % 256}")
    assert len(throttle._logins) <= 16384
    clock.advance(1801)
    throttle.admit("alice", "192.0.2.1")


@pytest.mark.parametrize(
    ("client", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
async def test_an_ipv6_network_counts_as_one_address(client: str, counted_as: str) -> None:
    assert network(client) == counted_as
