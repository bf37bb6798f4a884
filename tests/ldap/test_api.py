"""Harbor's routes for LDAP, and our own, over real directories."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.services import openldap as plain
from tests.services import samba as ad
from tests.services.certificates import Authority
from tests.services.management import ADMIN, Management, management_of
from tests.services.openldap import PASSWORD_END, OpenLDAP
from tests.services.processes import free_port
from tests.services.samba import PASSWORD, Samba

pytestmark = [pytest.mark.anyio, pytest.mark.service]

TEST = "/api/longshore/v1/ldap/test"


@pytest.fixture
async def registry(
    tmp_path: Path, openldap: OpenLDAP, samba: Samba, authority: Authority
) -> AsyncIterator[Management]:
    servers = [
        {
            "name": "plain",
            "url": openldap.url,
            "cafile": str(authority.certificate),
            "searchdn": plain.SEARCH_DN,
            "searchpassword": plain.SEARCH_PASSWORD,
            "basedn": plain.PEOPLE,
            "groups": {"basedn": plain.GROUPS, "filter": "(cn=*)"},
        },
        {
            "name": "corp",
            "url": samba.tls_url,
            "cafile": str(authority.certificate),
            "searchdn": ad.SEARCH,
            "searchpassword": PASSWORD,
            "basedn": ad.BASE,
            "filter": "(objectClass=user)",
            "uid": "sAMAccountName",
            "groups": {"basedn": ad.BASE, "filter": "(objectClass=group)"},
        },
    ]
    url = f"sqlite:///{tmp_path}/db"
    async with management_of(url, tmp_path, longshore={"ldap": {"servers": servers}}) as found:
        yield found


async def asked(registry: Management, method: str, path: str, status: int, **parts: Any) -> Any:
    reply = await registry.ask(ADMIN, method, path, **parts)
    assert reply.status_code == status, reply.text
    return reply.json() if reply.content else None


async def test_ping_tries_what_is_configured_or_what_is_sent(registry: Management) -> None:
    async def ping(**values: Any) -> dict[str, Any]:
        found: dict[str, Any] = await asked(registry, "POST", "/ldap/ping", 200, json=values)
        return found

    assert await ping() == {"success": True}
    assert await asked(registry, "POST", "/ldap/ping", 200) == {"success": True}
    wrong = await ping(ldap_search_password="wrong")
    base = await ping(ldap_base_dn="ou=nowhere,dc=test,dc=lan")
    nonsense = await ping(ldap_filter="(uid=")
    nobody = await ping(ldap_url=f"ldap://127.0.0.1:{free_port()}", ldap_search_password="x")

    assert not any(found["success"] for found in (wrong, base, nonsense, nobody))
    assert "does not let searchdn" in wrong["message"]
    assert "is the base DN right" in base["message"]
    assert "is no LDAP filter" in nonsense["message"]
    assert "cannot be reached" in nobody["message"]


async def test_ping_never_sends_a_configured_password_elsewhere(registry: Management) -> None:
    found = await asked(
        registry, "POST", "/ldap/ping", 200, json={"ldap_url": "ldap://127.0.0.1:9"}
    )
    assert found == {
        "success": False,
        "message": "ldap_search_password is needed for another server or ldap_search_dn",
    }


async def test_people_of_all_directories_are_found(registry: Management) -> None:
    found = await asked(registry, "GET", "/ldap/users/search?username=aro", 200)
    assert [person["username"] for person in found] == ["carol", "carol"]
    assert found[0] == {
        "username": "carol",
        "realname": "Carol Person",
        "email": "somebody@test.lan",
    }
    found = await asked(registry, "GET", "/ldap/users/search?username=mustch", 200)
    assert [person["username"] for person in found] == ["mustchange"]
    assert (
        await asked(registry, "GET", "/ldap/users/search", 200, params={"username": "*)(uid=*"})
        == []
    )


async def test_groups_are_found_by_name_and_by_dn(registry: Management) -> None:
    staff = f"cn=staff,{plain.GROUPS}"
    found = await asked(registry, "GET", "/ldap/groups/search?groupname=staf", 200)
    assert {"group_name": "staff", "group_type": 1, "ldap_group_dn": staff} in found
    assert len(found) == 2
    (one,) = await asked(
        registry, "GET", "/ldap/groups/search", 200, params={"groupdn": staff.upper()}
    )
    assert one["ldap_group_dn"] == staff


async def test_people_are_made_users_before_they_log_in(registry: Management) -> None:
    await registry.add_user("bob")
    body = {"ldap_uid_list": ["alice", "AD\\search", "nobody"]}
    failed = await asked(registry, "POST", "/ldap/users/import", 404, json=body)
    assert failed == [{"uid": "nobody", "error": "no LDAP server knows 'nobody'"}]
    await asked(registry, "POST", "/ldap/users/import", 200, json={"ldap_uid_list": ["alice"]})

    users = await asked(registry, "GET", "/users", 200)
    assert {user["username"] for user in users} == {"admin", "alice", "bob", "search"}
    me = await registry.ask("alice", "GET", "/users/current", password=f"alice{PASSWORD_END}")
    assert me.json()["username"] == "alice"


async def test_a_member_may_be_somebody_whom_only_a_directory_knows(registry: Management) -> None:
    await registry.add_project("team")
    path = "/projects/team/members"
    user = {"role_id": 2, "member_user": {"username": "dave"}}
    group = {"role_id": 3, "member_group": {"ldap_group_dn": f"CN=Staff, {plain.GROUPS}"}}
    nobody = {"role_id": 2, "member_user": {"username": "nobody"}}
    nowhere = {"role_id": 3, "member_group": {"ldap_group_dn": f"cn=nowhere,{plain.GROUPS}"}}
    await asked(registry, "POST", path, 201, json=user)
    await asked(registry, "POST", path, 201, json=group)
    await asked(registry, "POST", path, 409, json=group)
    await asked(registry, "POST", path, 404, json=nobody)
    await asked(registry, "POST", path, 404, json=nowhere)
    members = await asked(registry, "GET", path, 200)
    assert {member["entity_name"] for member in members} == {"dave", "staff"}

    alice = await registry.ask("alice", "GET", "/projects/team", password=f"alice{PASSWORD_END}")
    bob = await registry.ask("bob", "GET", "/projects/team", password=f"bob{PASSWORD_END}")
    assert (alice.status_code, bob.status_code) == (200, 403)


async def test_a_group_is_kept_as_its_directory_spells_it(registry: Management) -> None:
    body = {"group_type": 1, "ldap_group_dn": f"CN=STAFF, {plain.GROUPS}"}
    await asked(registry, "POST", "/usergroups", 201, json=body)
    await asked(registry, "POST", "/usergroups", 409, json=body)
    await asked(
        registry, "POST", "/usergroups", 404, json={**body, "ldap_group_dn": "cn=nowhere,dc=lan"}
    )
    (found,) = await asked(registry, "GET", "/usergroups", 200)
    assert (found["group_name"], found["ldap_group_dn"]) == ("staff", f"cn=staff,{plain.GROUPS}")


async def test_a_trial_shows_each_query_with_its_time_and_result(registry: Management) -> None:
    body = {"user": "alice", "password": PASSWORD}
    first, second = await asked(registry, "POST", TEST, 200, json=body)

    assert (first["server"], first["ok"], second["server"], second["ok"]) == (
        "plain",
        False,
        "corp",
        True,
    )
    assert "the password is wrong" in first["problem"]
    assert {group["name"] for group in second["person"]["groups"]} == {
        "developers",
        "engineers",
        "staff",
    }
    assert any("1.2.840.113556.1.4.1941" in query["what"] for query in second["queries"])
    assert all(query["milliseconds"] >= 0 for query in second["queries"])
    (alone,) = await asked(registry, "POST", TEST, 200, json={"server": "plain"})
    assert alone["ok"]
    await asked(registry, "POST", TEST, 404, json={"server": "other"})
    reply = await registry.ask(ADMIN, "POST", TEST, json=body)
    assert PASSWORD not in reply.text
    assert plain.SEARCH_PASSWORD not in reply.text


async def test_without_directories_the_routes_say_so(tmp_path: Path) -> None:
    async with management_of(f"sqlite:///{tmp_path}/db", tmp_path) as registry:
        for method, path, json in (
            ("GET", "/ldap/users/search", None),
            ("GET", "/ldap/groups/search", None),
            ("POST", "/ldap/users/import", {"ldap_uid_list": ["alice"]}),
            ("POST", TEST, {}),
        ):
            refused = await asked(registry, method, path, 400, json=json)
            assert "no LDAP server is configured" in refused["errors"][0]["message"]
        ping = await asked(registry, "POST", "/ldap/ping", 200)
        assert "ldap_url and ldap_base_dn are needed" in ping["message"]
        await asked(
            registry,
            "POST",
            "/usergroups",
            201,
            json={"group_type": 1, "ldap_group_dn": "cn=any,dc=lan"},
        )


async def test_only_administrators_are_told_where_directories_are(tmp_path: Path) -> None:
    server = {"name": "away", "url": f"ldap://127.0.0.1:{free_port()}", "basedn": "dc=lan"}
    url = f"sqlite:///{tmp_path}/db"
    async with management_of(url, tmp_path, longshore={"ldap": {"servers": [server]}}) as registry:
        told = await asked(registry, "GET", "/ldap/users/search", 503)
        assert "127.0.0.1" in told["errors"][0]["message"]
        await registry.add_user("owner")
        await registry.add_project("team", owner="owner")
        body = {"role_id": 2, "member_user": {"username": "somebody"}}
        reply = await registry.ask("owner", "POST", "/projects/team/members", json=body)
        assert reply.status_code == 503
        assert "127.0.0.1" not in reply.text


async def test_a_directory_that_is_away_is_a_warning_of_the_server(tmp_path: Path) -> None:
    server = {"name": "away", "url": f"ldap://127.0.0.1:{free_port()}", "basedn": "dc=lan"}
    url = f"sqlite:///{tmp_path}/db"
    async with management_of(url, tmp_path, longshore={"ldap": {"servers": [server]}}) as registry:
        before = await registry.client.get("/readyz")
        refused = await registry.ask("somebody", "GET", "/users/current", password=PASSWORD)
        after = await registry.client.get("/readyz")
    assert refused.status_code == 503
    assert "warnings" not in before.json()
    assert (after.status_code, after.json()["warnings"]) == (200, ["LDAP server away"])
