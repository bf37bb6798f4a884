"""Whoever a directory knows is a user of the registry, and nobody else's."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import anyio.to_thread
import pytest

from longshore import migrations
from longshore.access.header import Login
from longshore.access.passwords import hash_argon2
from longshore.access.settings import AccessSettings
from longshore.db.database import Database
from longshore.db.encryption import Encryption
from longshore.identity import install, store
from longshore.identity.authentication import Proof
from longshore.identity.changes import Changes, ManagementChange
from longshore.identity.model import GroupKind, Role, User
from longshore.ldap.accounts import Accounts, NotLinked
from longshore.ldap.logins import Directories, DirectoryLogins, Servers
from longshore.ldap.model import Group, LDAPServer, Person
from longshore.oci.errors import Unavailable
from longshore.outbox.model import NOBODY, Event, Origin
from longshore.outbox.recording import Outbox
from tests.ldap.servers import domain, listening, plain, silent
from tests.services.certificates import Authority
from tests.services.openldap import GROUPS, PASSWORD_END, OpenLDAP
from tests.services.processes import free_port
from tests.services.samba import PASSWORD, Samba

pytestmark = pytest.mark.anyio

LOCAL = "Harbour12"
ALICE = Person("plain", "uid=alice,dc=lan", "alice", "uuid:1", "alice@lan", "Alice")


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[Database]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/db" if sqlite else request.getfixturevalue("postgres_url")

    def opened() -> Database:
        database = Database(url, pool_size=4)
        database.open()
        migrations.upgrade(database)
        return database

    found = await anyio.to_thread.run_sync(opened)
    await found.write(
        lambda c: store.add_user(c, "admin", hash_argon2(LOCAL.encode()), 1.0, is_admin=True)
    )
    yield found
    await anyio.to_thread.run_sync(found.close)


def always(servers: Sequence[LDAPServer]) -> Servers:
    async def found() -> Sequence[LDAPServer]:
        return servers

    return found


def logins(database: Database, *servers: LDAPServer, refusals: float = 0.0) -> DirectoryLogins:
    accounts = Accounts(Changes(database, Outbox()))
    return DirectoryLogins(Directories(always(servers)), accounts, refusals=refusals)


async def prove(found: DirectoryLogins, name: str, password: str) -> Proof | None:
    return await found.authenticate(Login(name, password.encode()), "192.0.2.1")


async def user(database: Database, name: str) -> User | None:
    return await database.read(partial(store.find_user, name=name))


@pytest.mark.service
async def test_the_first_login_makes_the_user_with_groups(
    database: Database, openldap: OpenLDAP, authority: Authority
) -> None:
    found = logins(database, plain(openldap, authority))
    proof = await prove(found, "alice", f"alice{PASSWORD_END}")
    alice = await user(database, "alice")

    assert proof is not None
    assert alice is not None
    assert proof.user == alice.name == "alice"
    assert (alice.email, alice.real_name) == ("somebody@test.lan", "Alice Person")
    assert (alice.local, alice.is_admin) == (False, False)
    standing = await database.read(partial(store.standing, user="alice", project=""))
    assert standing.seal == proof.seal
    groups = await database.read(partial(store.groups_of, user=alice.id))
    assert {group.name for group in groups} == {"developers", "engineers", "staff", "circle"}
    assert {group.kind for group in groups} == {GroupKind.LDAP}
    assert f"cn=staff,{GROUPS}" in {group.external_id for group in groups}


@pytest.mark.service
async def test_a_domains_user_is_one_however_they_spell_their_name(
    database: Database, samba: Samba, authority: Authority
) -> None:
    found = logins(database, domain(samba, authority))
    proofs = {
        await prove(found, name, PASSWORD)
        for name in ("carol", "CAROL", "AD\\carol", "carol@ad.test")
    }
    carol = await user(database, "carol")

    assert len(proofs) == 1
    assert carol is not None
    assert carol.is_admin


@pytest.mark.service
async def test_servers_are_asked_in_order_until_one_knows_the_password(
    database: Database, openldap: OpenLDAP, samba: Samba, authority: Authority
) -> None:
    found = logins(database, plain(openldap, authority), domain(samba, authority))

    assert await prove(found, "expired", PASSWORD) is None
    bob = await prove(found, "bob", f"bob{PASSWORD_END}")
    assert bob is not None
    # The domain has a bob of its own, who is somebody else.
    assert await prove(found, "bob", PASSWORD) is None
    assert await prove(found, "carol", PASSWORD) is not None


@pytest.mark.service
async def test_a_local_user_of_the_same_name_is_not_taken_over(
    database: Database,
    openldap: OpenLDAP,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await database.write(lambda c: store.add_user(c, "alice", None, 1.0))
    found = logins(database, plain(openldap, authority))

    assert await prove(found, "alice", f"alice{PASSWORD_END}") is None
    assert "longshore ldap link alice --server plain" in caplog.text
    assert PASSWORD_END not in caplog.text


@pytest.mark.service
async def test_one_directory_that_is_away_is_said_only_if_no_other_knows(
    database: Database, openldap: OpenLDAP, authority: Authority
) -> None:
    away = LDAPServer("away", (f"ldap://127.0.0.1:{free_port()}",), "dc=away")
    found = logins(database, away, plain(openldap, authority))

    assert await prove(found, "alice", f"alice{PASSWORD_END}") is not None
    with pytest.raises(Unavailable, match="does not answer now") as caught:
        await prove(found, "alice", "wrong")
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.service
async def test_a_repeated_wrong_password_is_not_asked_about_again(
    database: Database, openldap: OpenLDAP, authority: Authority
) -> None:
    servers, asked = [plain(openldap, authority)], list[str]()
    directories = Directories(
        always(servers), observe=lambda server, outcome, *_: asked.append(f"{server} {outcome}")
    )
    found = DirectoryLogins(directories, Accounts(Changes(database, Outbox())), refusals=60.0)
    assert await prove(found, "alice", "wrong") is None
    assert await prove(found, "alice", "wrong") is None
    assert asked == ["plain answered"]
    # Other servers may know better.
    servers[0] = replace(servers[0], urls=(f"ldap://127.0.0.1:{free_port()}",))
    with pytest.raises(Unavailable):
        await prove(found, "alice", "wrong")


async def test_nobody_is_asked_without_servers_or_with_a_password_that_is_none(
    database: Database,
) -> None:
    away = LDAPServer("away", (f"ldap://127.0.0.1:{free_port()}",), "dc=away")
    assert await prove(logins(database), "alice", "secret") is None
    assert await prove(logins(database, away), "alice", "") is None
    binary = Login("alice", b"\xff\xfe")
    assert await logins(database, away).authenticate(binary, "192.0.2.1") is None


async def test_an_administrator_of_the_registry_gets_in_while_a_directory_hangs(
    database: Database,
) -> None:
    async with listening(silent) as url:
        hanging = LDAPServer("hangs", (url,), "dc=lan", start_tls=False, timeout=60.0)
        controller = install.create(
            database,
            AccessSettings(),
            encryption=Encryption(["tests"]),
            host="",
            prefix="",
            authenticators=[logins(database, hanging)],
        )
        await controller.start()
        with anyio.fail_after(10):
            proof = await controller._proofs.ask(Login("admin", LOCAL.encode()), "192.0.2.1")
        await controller.stop()
        assert proof is not None


async def test_what_changes_in_the_directory_changes_here(database: Database) -> None:
    accounts = Accounts(Changes(database, Outbox()))
    devs, ops = Group("cn=devs,dc=lan", "devs"), Group("cn=ops,dc=lan", "ops")
    first = await accounts.of(replace(ALICE, groups=(devs, ops), is_admin=False), NOBODY)
    # Renamed, moved, promoted, out of one group: the subject stays.
    moved = replace(
        ALICE,
        dn="uid=alicia,ou=new,dc=lan",
        uid="alicia",
        mail="alicia@lan",
        real_name="Alicia",
        groups=(ops,),
        is_admin=True,
    )
    second = await accounts.of(moved, NOBODY)
    groups = await database.read(partial(store.groups_of, user=first.user.id))

    assert (second.user.id, second.user.name) == (first.user.id, "alice")
    assert (second.user.email, second.user.real_name) == ("alicia@lan", "Alicia")
    assert [group.name for group in groups] == ["ops"]
    assert (first.user.is_admin, second.user.is_admin) == (False, True)
    # Whoever became an administrator proves again who they are; nothing else of that ends a login.
    assert first.seal != second.seal
    third = await accounts.of(replace(moved, groups=(devs,), real_name="A."), NOBODY)
    assert second.seal == third.seal


async def test_whoever_takes_over_a_name_in_the_directory_is_somebody_else(
    database: Database,
) -> None:
    accounts = Accounts(Changes(database, Outbox()))
    await accounts.of(ALICE, NOBODY)
    with pytest.raises(NotLinked, match=r"there is a user 'alice' already.*longshore ldap link"):
        await accounts.of(replace(ALICE, subject="uuid:2"), NOBODY)
    with pytest.raises(NotLinked):
        await accounts.of(replace(ALICE, server="other"), NOBODY)


async def test_linked_by_hand_a_local_user_keeps_what_they_have(database: Database) -> None:
    accounts = Accounts(Changes(database, Outbox()))
    hashed = hash_argon2(LOCAL.encode())
    id = await database.write(lambda c: store.add_user(c, "alice", hashed, 1.0))
    await database.write(lambda c: store.add_project(c, "team", 1.0, owner="alice"))
    await accounts.link("alice", ALICE, NOBODY)
    account = await accounts.of(ALICE, NOBODY)
    standing = await database.read(partial(store.standing, user="alice", project="team"))

    assert account.user.id == id
    assert account.user.local
    assert standing.seal == account.seal
    assert standing.ranked == (Role.PROJECT_ADMIN,)


async def test_an_address_that_somebody_has_is_left_to_them(database: Database) -> None:
    await database.write(lambda c: store.add_user(c, "other", None, 1.0, email="alice@lan"))
    account = await Accounts(Changes(database, Outbox())).of(ALICE, NOBODY)
    assert account.user.email == ""


@pytest.mark.parametrize("name", ["robot$x", "a:b", "x" * 300, "anonymous", "new\nline"])
async def test_a_name_that_no_user_may_have_gets_no_account(database: Database, name: str) -> None:
    with pytest.raises(NotLinked, match="can have no account"):
        await Accounts(Changes(database, Outbox())).of(replace(ALICE, uid=name), NOBODY)


async def test_the_last_administrator_stays_one_whatever_the_directory_says(
    database: Database,
) -> None:
    accounts = Accounts(Changes(database, Outbox()))
    await accounts.of(replace(ALICE, is_admin=True), NOBODY)
    await database.write(partial(store.remove_user, name="admin"))
    account = await accounts.of(replace(ALICE, is_admin=False), NOBODY)
    assert account.user.is_admin


async def test_a_directory_without_an_admin_group_says_nothing_of_rights(
    database: Database,
) -> None:
    accounts = Accounts(Changes(database, Outbox()))
    account = await accounts.of(ALICE, NOBODY)
    await database.write(lambda c: store.update_user(c, account.user.id, is_admin=True))
    account = await accounts.of(replace(ALICE, real_name="Alicia"), NOBODY)
    assert account.user.is_admin


async def test_nothing_is_written_when_nothing_changed(database: Database) -> None:
    accounts = Accounts(Changes(database, Outbox()))
    person = replace(ALICE, groups=(Group("cn=devs,dc=lan", "devs"),), is_admin=False)
    first = await accounts.of(person, NOBODY)
    assert await accounts.of(person, NOBODY) == first


async def test_many_first_logins_at_once_make_one_user(database: Database) -> None:
    accounts = Accounts(Changes(database, Outbox()))
    person = replace(ALICE, groups=(Group("cn=devs,dc=lan", "devs"),))
    ids: set[int] = set()

    async def log_in() -> None:
        ids.add((await accounts.of(person, NOBODY)).user.id)

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(log_in)
    assert len(ids) == 1


async def test_first_logins_and_new_administrators_are_told_of(database: Database) -> None:
    heard: list[ManagementChange] = []

    class Listener:
        name = "test"
        batch = 10

        def wants(self, event: Event) -> bool:
            assert isinstance(event, ManagementChange)
            heard.append(event)
            return False

        async def deliver(self, events: Any) -> None: ...

    accounts = Accounts(Changes(database, Outbox([Listener()])))
    await accounts.of(replace(ALICE, is_admin=True), Origin("alice", "192.0.2.1"))
    assert [(event.operation, event.resource) for event in heard] == [
        ("create", "alice"),
        ("update", "alice"),
    ]
    assert "is an administrator, says LDAP server 'plain'" in heard[1].description
    assert heard[0].origin.address == "192.0.2.1"
