"""A real server with real directories, and real clients that log in."""

import asyncio
import io
import json
import re
import socket
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import NotFound
from harborapi.models import LdapConf

from longshore.cli.main import main
from longshore.db.database import Connection, Database
from longshore.identity import store
from longshore.identity.model import GroupKind, Role
from tests.services import openldap as plain
from tests.services import samba as ad
from tests.services.certificates import Authority
from tests.services.docker_engine import BASE_IMAGE, DockerEngine
from tests.services.openldap import PASSWORD_END, OpenLDAP
from tests.services.programs import Shell
from tests.services.registries import Registry, RegistryFactory
from tests.services.samba import PASSWORD, Samba

pytestmark = pytest.mark.service

ADMIN = ("admin", "Harbour12")
Start = Callable[..., Registry]


def asks(registry: Registry) -> bool:
    """Whether it is up and asks who is there."""
    try:
        with registry.client() as client:
            return client.get("/v2/").status_code == httpx.codes.UNAUTHORIZED
    except httpx.TransportError:
        return False


@pytest.fixture
def start(registry_factory: RegistryFactory) -> Start:
    """Starts a registry with these LDAP servers."""

    def started(*servers: dict[str, Any]) -> Registry:
        return registry_factory(
            {"auth": {"longshore": {}}, "longshore": {"ldap": {"servers": list(servers)}}},
            env={"LONGSHORE_ADMIN_PASSWORD": ADMIN[1]},
            ready=asks,
        )

    return started


@pytest.fixture
def people(openldap: OpenLDAP, authority: Authority) -> dict[str, Any]:
    return {
        "name": "plain",
        "url": openldap.url,
        "cafile": str(authority.certificate),
        "searchdn": plain.SEARCH_DN,
        "searchpassword": plain.SEARCH_PASSWORD,
        "basedn": plain.PEOPLE,
        "groups": {"basedn": plain.GROUPS, "admins": f"cn=operators,{plain.GROUPS}"},
    }


@pytest.fixture
def domain(samba: Samba, authority: Authority) -> dict[str, Any]:
    return {
        "name": "corp",
        "url": samba.tls_url,
        "cafile": str(authority.certificate),
        "searchdn": ad.SEARCH,
        "searchpassword": PASSWORD,
        "basedn": ad.BASE,
        "filter": "(objectClass=user)",
        "uid": "sAMAccountName",
        "groups": {"basedn": ad.BASE, "filter": "(objectClass=group)"},
    }


def longshore(registry: Registry, *words: str, stdin: str = "", code: int = 0) -> str:
    """What a command prints, beside the running server."""
    found, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.stdin", io.StringIO(stdin))
        try:
            main([*words, "--config", str(registry.directory / "config.yml")])
        except SystemExit as end:
            found = int(end.code or 0)
    assert found == code, err.getvalue() + out.getvalue()
    return out.getvalue() + err.getvalue()


def give(registry: Registry, dn: str, project: str, role: Role) -> None:
    """A role to a directory's group."""

    def work(connection: Connection) -> None:
        group = store.find_group(connection, kind=GroupKind.LDAP, external_id=dn)
        found = store.find_project(connection, name=project)
        assert group is not None
        assert found is not None
        store.add_member(connection, found.id, role, group=group.id)

    database = Database(f"sqlite:///{registry.directory}/data/longshore.db", pool_size=1)
    database.open()
    try:
        asyncio.run(database.write(work))
    finally:
        database.close()


def logs(registry: Registry, text: str) -> bool:
    """Whether the log says that; it is written a moment later."""
    for _ in range(100):
        if text in registry.service.log.read_text():
            return True
        time.sleep(0.05)
    return False


def status(registry: Registry, user: str, password: str) -> int:
    with registry.client() as client:
        return client.get("/v2/", auth=(user, password)).status_code


@pytest.mark.timeout(300)
def test_docker_logs_in_with_the_password_of_a_directory_and_pushes_by_a_nested_group(
    start: Start,
    people: dict[str, Any],
    shell: Shell,
    docker_engine: DockerEngine,
    docker_client: str,
) -> None:
    registry = start(people)
    docker = shell.with_env(DOCKER_HOST=docker_engine.address)
    login = ("login", "-u", "alice", "--password-stdin", registry.host)
    name = f"{registry.host}/team/app:v1"
    docker(docker_client, "tag", BASE_IMAGE, name)
    longshore(registry, "project", "add", "team")

    docker.refused(docker_client, *login, stdin="wrong")
    docker(docker_client, *login, stdin=f"alice{PASSWORD_END}")
    docker.refused(docker_client, "push", name)
    # Engineers are staff, developers are engineers, and alice is a developer.
    give(registry, f"cn=staff,{plain.GROUPS}", "team", Role.DEVELOPER)
    docker(docker_client, "push", name)
    docker(docker_client, "rmi", name)

    assert PASSWORD_END not in registry.service.log.read_text()


def test_each_form_of_a_name_and_each_directory_lets_people_in(
    start: Start, people: dict[str, Any], domain: dict[str, Any]
) -> None:
    registry = start(people, domain)

    assert status(registry, "bob", f"bob{PASSWORD_END}") == httpx.codes.OK
    assert status(registry, "search@ad.test", PASSWORD) == httpx.codes.OK
    assert status(registry, "AD\\search", PASSWORD) == httpx.codes.OK
    with registry.client() as client:
        asking = {"scope": "repository:library/app:pull", "offline_token": "true"}
        token = client.get("/v2/token", params=asking, auth=("bob", f"bob{PASSWORD_END}")).json()
    assert token["token"]
    assert "refresh_token" not in token  # nothing here would tell that the password has ended
    assert status(registry, "expired", PASSWORD) == httpx.codes.UNAUTHORIZED
    assert status(registry, "alice)(uid=*", f"alice{PASSWORD_END}") == httpx.codes.UNAUTHORIZED
    assert status(registry, *ADMIN) == httpx.codes.OK
    users = longshore(registry, "user", "list")
    assert re.search(r"^bob +by project +enabled +Bob Person", users, re.MULTILINE)
    assert logs(registry, "the account has expired (result 49, data 701)")
    assert PASSWORD not in registry.service.log.read_text()


def test_a_refusal_says_nothing_of_who_there_is(
    start: Start, people: dict[str, Any], domain: dict[str, Any]
) -> None:
    registry = start(people, domain)
    answers = set()
    with registry.client() as client:
        for user in ("alice", "nobody", "expired", "disabled", "mustchange"):
            answer = client.get("/v2/", auth=(user, "Wrong!123"))
            answers.add((answer.status_code, answer.text.replace(user, "USER")))
    assert len(answers) == 1


def test_a_directory_that_hangs_keeps_nobody_else_waiting(start: Start) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)  # the kernel accepts, and nobody ever answers
        url = f"ldap://127.0.0.1:{silent.getsockname()[1]}"
        registry = start({"name": "hangs", "url": url, "basedn": "dc=lan", "timeout": "1s"})
        times = []
        for login in (ADMIN, ("somebody", "Secret12"), ADMIN):
            began = time.monotonic()
            code = status(registry, *login)
            times.append(time.monotonic() - began)
            assert code == (httpx.codes.OK if login is ADMIN else httpx.codes.SERVICE_UNAVAILABLE)
    assert max(times) < 5
    assert logs(registry, "gave no answer within 1 s")


def test_the_command_shows_each_query_with_its_time_and_result(
    start: Start, people: dict[str, Any], domain: dict[str, Any]
) -> None:
    registry = start(people, domain)
    shown = longshore(registry, "ldap", "test", "alice", stdin=f"alice{PASSWORD_END}\n")
    anybody = json.loads(longshore(registry, "ldap", "test", "--json"))
    unknown = longshore(registry, "ldap", "test", "nobody", "--no-password", code=1)
    wrong = longshore(
        registry, "ldap", "test", "expired", "-s", "corp", stdin=f"{PASSWORD}\n", code=1
    )
    missing = longshore(registry, "ldap", "test", "-s", "other", code=1)

    assert "LDAP server plain: works" in shown
    assert "(member=uid=alice,ou=people,dc=test,dc=lan)" in shown
    assert re.search(r"^groups +.*staff", shown, re.MULTILINE)
    assert re.search(r"^administrator +no", shown, re.MULTILINE)
    assert "LDAP server corp: the password is wrong" in shown
    assert [(trial["server"], trial["ok"]) for trial in anybody] == [
        ("plain", True),
        ("corp", True),
    ]
    assert all(query["milliseconds"] >= 0 for trial in anybody for query in trial["queries"])
    assert unknown.count("nobody of that name is found") == 2
    assert "the account has expired" in wrong
    assert "there is no LDAP server 'other'; configured: plain, corp" in missing
    keys = {
        "ldap_url": people["url"],
        "ldap_base_dn": people["basedn"],
        "ldap_search_dn": people["searchdn"],
        "ldap_search_password": people["searchpassword"],
        "ldap_uid": "uid",
        "ldap_verify_cert": False,
    }
    with registry.client() as client:
        reply = client.put("/api/v2.0/configurations", json=keys, auth=ADMIN)
    assert reply.status_code == httpx.codes.OK, reply.text
    stored = longshore(registry, "ldap", "test", "alice", "--no-password", "-s", "harbor")
    assert "LDAP server harbor: works" in stored
    for text in (shown, wrong, stored, json.dumps(anybody)):
        assert PASSWORD_END not in text
        assert plain.SEARCH_PASSWORD not in text
        assert PASSWORD not in text


def test_a_user_is_linked_to_a_directory_and_keeps_the_old_password(
    start: Start, people: dict[str, Any]
) -> None:
    registry = start(people)
    longshore(registry, "user", "add", "bob", stdin="Row4ever!\n")
    assert status(registry, "bob", f"bob{PASSWORD_END}") == httpx.codes.UNAUTHORIZED
    assert logs(registry, "longshore ldap link bob --server plain")

    told = longshore(registry, "ldap", "link", "bob", "--server", "plain")
    nobody = longshore(registry, "ldap", "link", "admin", "-s", "plain", "--login", "x", code=1)
    twice = longshore(registry, "ldap", "link", "admin", "-s", "plain", "--login", "bob", code=1)

    assert "user bob is uid=bob,ou=people,dc=test,dc=lan of LDAP server plain" in told
    assert "nobody of that name is found" in nobody
    assert "is another user already" in twice
    assert status(registry, "bob", "Row4ever!") == httpx.codes.OK
    assert status(registry, "bob", f"bob{PASSWORD_END}") == httpx.codes.OK


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"filter": "(objectClass="}, r"'plain': '\(objectClass=' is no LDAP filter")],
)
def test_a_server_with_a_filter_that_is_none_does_not_start(
    tmp_path: Path, people: dict[str, Any], change: dict[str, str], sentence: str
) -> None:
    config = tmp_path / "config.yml"
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "auth": {"longshore": {}},
        "longshore": {"ldap": {"servers": [{**people, **change}]}},
    }
    config.write_text(json.dumps(document))
    err = io.StringIO()
    with redirect_stderr(err), pytest.raises(SystemExit):
        main(["serve", str(config)])
    assert re.search(sentence, err.getvalue())


@pytest.mark.anyio
# The client itself reads its fields in a way that pydantic has given up.
@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute")
async def test_harbors_client_for_python_asks_for_people_and_groups(
    start: Start, people: dict[str, Any]
) -> None:
    registry = await anyio.to_thread.run_sync(start, people)
    client = HarborAsyncClient(
        url=f"{registry.url}/api/v2.0", username=ADMIN[0], secret=ADMIN[1], validate=True
    )
    try:
        ping = await client.ping_ldap()
        refused = await client.ping_ldap(LdapConf(ldap_base_dn="ou=nowhere,dc=lan"))
        found = await client.search_ldap_users("dave")
        groups = await client.search_ldap_groups(group_name="engineers")
        by_dn = await client.search_ldap_groups(group_dn=f"cn=staff,{plain.GROUPS}")
        await client.import_ldap_users(["dave"])
        with pytest.raises(NotFound):
            await client.import_ldap_users(["nobody"])
        (dave,) = await client.search_users_by_username("dave")
    finally:
        await client.client.aclose()
    assert (ping.success, refused.success) == (True, False)
    assert [(one.username, one.email) for one in found] == [("dave", "somebody@test.lan")]
    assert [one.ldap_group_dn for one in groups] == [f"cn=engineers,{plain.GROUPS}"]
    assert [one.group_name for one in by_dn] == ["staff"]
    assert dave.username == "dave"
