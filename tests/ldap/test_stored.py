"""A directory that administrators describe while the registry runs, by Harbor's keys."""

import sys
from typing import Any

import pytest
from sqlalchemy import text

from longshore.identity.model import Role
from tests.services.management import management_of
from tests.services.openldap import (
    GROUPS,
    PASSWORD_END,
    PEOPLE,
    SEARCH_DN,
    SEARCH_PASSWORD,
)
from tests.services.processes import free_port

pytestmark = pytest.mark.anyio

URL = "/configurations"
DEVELOPERS = f"cn=developers,{GROUPS}"


class Absent:
    """A directory that nobody asks."""

    url = "ldap://directory.test"


def keys(openldap, **more):
    """As Harbor's clients set them. The certificate of tests is signed by nobody whom the system knows."""
    return {
        "auth_mode": "ldap_auth",
        "ldap_url": openldap.url,
        "ldap_base_dn": PEOPLE,
        "ldap_search_dn": SEARCH_DN,
        "ldap_search_password": SEARCH_PASSWORD,
        "ldap_uid": "uid",
        "ldap_filter": "objectClass=inetOrgPerson",
        "ldap_verify_cert": False,
        "ldap_group_base_dn": GROUPS,
        "ldap_group_admin_dn": f"cn=operators,{GROUPS}",
        **more,
    }


async def put(management, expected=200, **values):
    reply = await management.ask("admin", "PUT", URL, json=values)
    assert reply.status_code == expected, reply.text
    return reply.text


async def who(management, name, password=""):
    secret = password or name + PASSWORD_END
    reply = await management.ask(name, "GET", "/users/current", password=secret)
    return reply.json() if reply.is_success else reply.status_code


@pytest.mark.service
async def test_people_of_the_directory_log_in_on_every_node_as_long_as_the_keys_say(
    database_url, tmp_path, openldap
):
    async with (
        management_of(database_url, tmp_path, 0) as one,
        management_of(database_url, tmp_path, 1) as two,
    ):
        assert await who(two, "alice") == 401
        nobody = await one.ask("admin", "GET", "/ldap/users/search", params={"username": "ali"})
        assert nobody.status_code == 400

        await put(one, **keys(openldap))

        # Who was refused a moment ago is not refused because of that.
        for node in (two, one):
            assert (await who(node, "alice"))["sysadmin_flag"] is False
            assert await who(node, "alice", "wrong") == 401
        assert (await who(one, "carol"))["sysadmin_flag"] is True
        assert (await one.ask("", "GET", "/systeminfo")).json()["auth_mode"] == "ldap_auth"
        # Searching, trying and groups as members are those of the same server.
        found = await two.ask("admin", "GET", "/ldap/users/search", params={"username": "ali"})
        assert "alice" in [person["username"] for person in found.json()]
        assert (await two.ask("admin", "POST", "/ldap/ping")).json() == {"success": True}
        (trial,) = (await two.ask("admin", "POST", "/api/longshore/v1/ldap/test", json={})).json()
        assert (trial["server"], trial["ok"]) == ("harbor", True)
        await one.add_project("team")
        member = {"role_id": Role.DEVELOPER, "member_group": {"ldap_group_dn": DEVELOPERS}}
        made = await one.ask("admin", "POST", "/projects/team/members", json=member)
        assert made.status_code == 201, made.text
        projects = await two.ask("alice", "GET", "/projects/team", password="alice" + PASSWORD_END)
        assert projects.status_code == 200

        await put(two, ldap_url="")

        assert await who(one, "dave") == 401
        assert (await two.ask("admin", "GET", "/users/current")).status_code == 200


@pytest.mark.service
async def test_the_keys_describe_one_server_beside_those_of_the_file(
    database_url, tmp_path, openldap, authority
):
    own = {
        "name": "plain",
        "url": openldap.url,
        "cafile": str(authority.certificate),
        "basedn": f"uid=bob,{PEOPLE}",
        "searchdn": SEARCH_DN,
        "searchpassword": SEARCH_PASSWORD,
    }
    sections: dict[str, Any] = {"longshore": {"ldap": {"servers": [own]}}}
    async with management_of(database_url, tmp_path, **sections) as management:
        assert (await who(management, "bob"))["username"] == "bob"
        assert await who(management, "alice") == 401

        await put(management, **keys(openldap))

        assert (await who(management, "bob"))["username"] == "bob"
        assert (await who(management, "alice"))["username"] == "alice"


@pytest.mark.service
async def test_a_server_that_is_away_holds_no_local_user_up(database_url, tmp_path, openldap):
    async with management_of(database_url, tmp_path) as management:
        await put(management, **keys(openldap, ldap_url=f"ldap://127.0.0.1:{free_port()}"))
        assert await who(management, "alice") == 503
        assert (await management.ask("admin", "GET", "/users/current")).status_code == 200

        await put(management, ldap_url=openldap.url, ldap_search_password=SEARCH_PASSWORD)

        assert (await who(management, "alice"))["username"] == "alice"


WRONG = (
    ({"ldap_base_dn": ""}, "ldap_base_dn is empty"),
    ({"ldap_search_password": ""}, "belong together"),
    ({"ldap_search_dn": ""}, "belong together"),
    ({"ldap_uid": ""}, "ldap_uid is empty"),
    ({"ldap_filter": "(uid="}, "ldap_filter"),
    ({"ldap_group_search_filter": "((x)"}, "ldap_group_search_filter"),
    ({"ldap_url": "ldap://directory:0x"}, "ldap_url"),
    ({"ldap_url": "ldap://directory/dc=x"}, "directory/dc=x"),
)


async def test_what_is_no_directory_is_refused_and_nothing_is_kept(management):
    for wrong, said in WRONG:
        text_of_reply = await put(management, 400, **keys(Absent, **wrong))
        assert said in text_of_reply, text_of_reply
        assert SEARCH_PASSWORD not in text_of_reply
    found = (await management.ask("admin", "GET", URL)).json()
    assert found["ldap_url"]["value"] == ""
    assert found["auth_mode"]["value"] == "db_auth"
    # Without an address nothing is asked, so nothing has to fit.
    await put(management, **keys(Absent, ldap_url="", ldap_base_dn=""))


async def test_the_password_is_encrypted_never_shown_and_sent_nowhere_else(management):
    await put(management, **keys(Absent))
    shown = await management.ask("admin", "GET", URL)
    assert SEARCH_PASSWORD not in shown.text

    def rows(connection):
        return str(connection.execute(text("SELECT * FROM system_settings")).all())

    assert SEARCH_PASSWORD not in await management.database.read(rows)
    # Somebody who may change the address does not get the password by that.
    for url in ("ldap://elsewhere.test", "ldaps://directory.test"):
        assert "ldap_search_password" in await put(management, 400, ldap_url=url)
    await put(management, ldap_url="")
    assert "ldap_search_password" in await put(management, 400, ldap_url="ldap://elsewhere.test")
    await put(management, ldap_url="ldap://elsewhere.test", ldap_search_password="another")
    # What is sent back as it was read changes nothing.
    values = {name: item["value"] for name, item in shown.json().items()}
    await put(management, **values | {"ldap_url": "ldap://elsewhere.test"})


def said(caplog):
    return [record.getMessage() for record in caplog.records if "ldap_* of" in record.getMessage()]


async def test_without_its_library_the_registry_starts_and_says_so_once(
    database_url, tmp_path, monkeypatch, caplog
):
    async with management_of(database_url, tmp_path) as management:
        await put(management, **keys(Absent))
    # As after an upgrade that left the extra out.
    monkeypatch.setitem(sys.modules, "sansldap", None)
    monkeypatch.delitem(sys.modules, "longshore.ldap.connection", raising=False)

    async with management_of(database_url, tmp_path) as management:
        for _ in range(3):
            refused = await management.ask("alice", "GET", "/users/current")
            assert refused.status_code == 503
            assert "LDAP server that may know this user" in refused.text
            assert (await management.ask("admin", "GET", "/users/current")).status_code == 200
        (line,) = said(caplog)
        assert "pip install 'longshore[ldap]'" in line
        health = await management.client.get("/readyz")
        assert health.json()["warnings"] == ["ldap_* of /configurations"]
        await put(management, ldap_url="")
        assert (await management.ask("alice", "GET", "/users/current")).status_code == 401
        assert "warnings" not in (await management.client.get("/readyz")).json()


async def test_keys_that_are_broken_are_told_of_once_for_each_change(management, caplog):
    await put(management, **keys(Absent))

    def broken(value):
        def work(connection):
            statement = text("UPDATE system_settings SET value = :value WHERE name = 'ldap_filter'")
            connection.execute(statement, {"value": f'"{value}"'})

        return work

    for number, filter in enumerate(("(uid=", "(cn="), 1):
        await management.database.write(broken(filter))
        for name in ("alice", "bob", "carol"):
            refused = await management.ask(f"{name}{number}", "GET", "/users/current")
            assert refused.status_code == 503
            search = await management.ask("admin", "GET", "/ldap/users/search")
            assert (search.status_code, "ldap_filter" in search.text) == (400, True)
        assert len(said(caplog)) == number
