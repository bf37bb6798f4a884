"""What several providers say of one user: groups, and whether they are an administrator."""

import pytest

from longshore.identity import store
from longshore.identity.model import GroupKind
from tests.oidc.visits import site

pytestmark = pytest.mark.anyio

BOTH = {"one": {"admingroup": "admins"}, "two": {"admingroup": "admins"}}
SUBJECTS = {"one": "4711", "two": "12"}


@pytest.fixture
async def both(database_url, tmp_path, start_issuer):
    """A registry with two providers, both of which know the user dora, who has a password here, too."""
    async with site(database_url, tmp_path, start_issuer, BOTH) as (node, visitor, _):
        dora = await node.add_user("dora")
        for provider, subject in SUBJECTS.items():
            link = {"provider": f"oidc:{provider}", "subject": subject}
            path = f"/api/longshore/v1/users/{dora}/identities"
            assert (await node.ask("admin", "POST", path, json=link)).status_code == 201

        async def log_in(provider, *groups):
            found = visitor()
            reply = await found.log_in(provider, SUBJECTS[provider], groups=list(groups))
            assert reply.status_code == 302, reply.text
            assert await found.who() == "dora"

        yield node, dora, log_in


async def groups_of(node, user):
    found = await node.database.read(lambda c: store.groups_of(c, user))
    return {group.name for group in found}


async def is_admin(node, user):
    return (await node.ask("admin", "GET", f"/users/{user}")).json()["sysadmin_flag"]


async def unlink(node, user, provider, expected=200):
    path = f"/api/longshore/v1/users/{user}/identities"
    (found,) = [
        one["id"]
        for one in (await node.ask("admin", "GET", path)).json()
        if one["provider"] == f"oidc:{provider}"
    ]
    reply = await node.ask("admin", "DELETE", f"{path}/{found}")
    assert reply.status_code == expected, reply.text


async def test_a_login_replaces_the_groups_of_its_own_provider_only(both):
    node, dora, log_in = both
    await log_in("one", "devs", "ops")
    await log_in("two", "staff")
    assert await groups_of(node, dora) == {"one/devs", "one/ops", "two/staff"}
    await log_in("one", "devs")
    assert await groups_of(node, dora) == {"one/devs", "two/staff"}


async def test_unlinking_takes_what_that_provider_gave(both):
    node, dora, log_in = both
    team = await node.change(store.add_group, kind=GroupKind.TEAM, name="t", now=1.0)
    await node.change(store.add_to_group, group=team, user=dora)
    await node.add_project("secret")
    await log_in("one", "devs", "admins")
    await log_in("two", "staff")
    group = await node.database.read(lambda c: store.groups_called(c, "one/devs")[0])
    body = {"role_id": 2, "member_group": {"id": group.id}}
    reply = await node.ask("admin", "POST", "/projects/secret/members", json=body)
    assert reply.status_code == 201, reply.text
    assert (await node.ask("dora", "GET", "/projects/secret")).status_code == 200
    assert await is_admin(node, dora)

    await unlink(node, dora, "one")

    assert await groups_of(node, dora) == {"two/staff", "t"}
    assert not await is_admin(node, dora)
    assert (await node.ask("dora", "GET", "/projects/secret")).status_code == 403


async def test_a_provider_takes_away_only_the_administration_that_it_gave(both):
    node, dora, log_in = both
    await log_in("one", "admins")
    assert await is_admin(node, dora)
    await log_in("two")
    assert await is_admin(node, dora)
    await log_in("one")
    assert not await is_admin(node, dora)
    # What somebody said here outlasts what providers say.
    flag = {"sysadmin_flag": True}
    path = f"/users/{dora}/sysadmin"
    assert (await node.ask("admin", "PUT", path, json=flag)).status_code == 200
    await log_in("one", "admins")
    await log_in("one")
    await unlink(node, dora, "one")
    assert await is_admin(node, dora)
    # Taken away here, it comes back with the next login in the group, and goes when they leave that.
    assert (await node.ask("admin", "PUT", path, json={"sysadmin_flag": False})).status_code == 200
    await log_in("two", "admins")
    assert await is_admin(node, dora)
    await unlink(node, dora, "two")
    assert not await is_admin(node, dora)


async def test_the_last_administrator_is_not_unlinked_from_what_makes_them_one(both):
    node, _, log_in = both
    await log_in("one", "admins")
    await node.change(store.update_user, id=1, disabled=True)
    path = "/api/longshore/v1/users/current/identities"
    found = (await node.ask("dora", "GET", path)).json()
    (one,) = [identity["id"] for identity in found if identity["provider"] == "oidc:one"]
    refused = await node.ask("dora", "DELETE", f"{path}/{one}")
    assert refused.status_code == 412
    assert "last administrator" in refused.text
    assert (await node.ask("dora", "GET", path)).json() == found


async def test_what_was_noted_before_providers_were_is_settled_by_the_first_that_says_something(
    both,
):
    node, dora, log_in = both
    await log_in("one", "devs", "admins")

    def forget(connection):
        connection.exec_driver_sql("UPDATE user_group_members SET provider = ''")
        connection.exec_driver_sql("UPDATE users SET admin_by = NULL WHERE name = 'dora'")

    await node.database.write(forget)
    await log_in("two", "staff")
    assert await groups_of(node, dora) == {"two/staff"}
    assert not await is_admin(node, dora)
