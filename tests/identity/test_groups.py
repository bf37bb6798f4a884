"""Groups as members, on both databases."""

import pytest

from longshore.access.passwords import hash_argon2
from longshore.identity import store
from longshore.identity.errors import Taken
from longshore.identity.model import GroupKind, Role
from longshore.identity.permissions import Permission
from tests.identity.parts import HASH, node

pytestmark = pytest.mark.anyio

OTHER_HASH = hash_argon2(b"Another1")


def _two_groups(connection):
    user = store.add_user(connection, "somebody", HASH, 1.0)
    project = store.add_project(connection, "private", 1.0)
    readers = store.add_group(connection, GroupKind.TEAM, "readers", 1.0)
    writers = store.ensure_group(connection, GroupKind.LDAP, "cn=writers,dc=x", "writers", 1.0)
    store.add_member(connection, project, Role.GUEST, group=readers)
    store.add_member(connection, project, Role.DEVELOPER, group=writers)
    return user, project, readers, writers


async def test_who_is_in_a_group_has_its_role(cluster):
    async with node(cluster) as registry:
        user, _, readers, writers = await registry.people.write(_two_groups)

        assert await registry.push("somebody", "private/app") == 403
        await registry.change(store.add_to_group, group=readers, user=user)
        assert (await registry.ask("somebody", "GET", "/v2/private/app/tags/list")).json()[
            "errors"
        ][0]["code"] == "NAME_UNKNOWN"
        assert await registry.push("somebody", "private/app") == 403
        await registry.change(
            store.set_groups_of,
            user=user,
            groups=[writers],
            kind=GroupKind.LDAP,
            provider="ldap:corp",
        )
        assert await registry.push("somebody", "private/app") == 201
        await registry.change(
            store.set_groups_of, user=user, groups=[], kind=GroupKind.LDAP, provider="ldap:corp"
        )
        assert await registry.push("somebody", "private/app") == 403
        pulled = await registry.ask("somebody", "GET", "/v2/private/app/tags/list")
        assert pulled.json()["tags"] == ["latest"]


async def test_several_roles_add_up(cluster):
    async with node(cluster) as registry:
        user, project, readers, writers = await registry.people.write(_two_groups)
        for group in (readers, writers):
            await registry.change(store.add_to_group, group=group, user=user)
        standing = await registry.change(store.standing, user="somebody", project="private")

        assert standing.roles == {Role.GUEST, Role.DEVELOPER}
        assert standing.ranked[0] is Role.DEVELOPER
        assert Permission("repository", "push") in standing.permissions

        await registry.change(store.add_member, project=project, role=Role.MAINTAINER, user=user)
        standing = await registry.change(store.standing, user="somebody", project="private")
        assert standing.ranked[0] is Role.MAINTAINER
        with pytest.raises(Taken, match="is a member of the project already"):
            await registry.change(store.add_member, project=project, role=Role.GUEST, group=readers)


async def test_a_group_that_goes_takes_its_roles_along(cluster):
    async with node(cluster) as registry:
        user, _, _, writers = await registry.people.write(_two_groups)
        await registry.change(store.add_to_group, group=writers, user=user)
        assert await registry.push("somebody", "private/app") == 201

        await registry.change(store.remove_group, id=writers)

        assert await registry.push("somebody", "private/app") == 403
        assert [m.group for m in await registry.change(store.list_members, project="private")] == [
            "readers"
        ]


async def test_what_is_given_and_what_is_taken_count_at_once(cluster):
    async with node(cluster) as registry:
        await registry.people.write(_two_groups)
        assert await registry.push("somebody", "private/app") == 403
        await registry.change(
            store.set_member, project="private", user="somebody", role=Role.DEVELOPER
        )
        assert await registry.push("somebody", "private/app") == 201
        await registry.change(store.remove_member, project="private", user="somebody")
        assert await registry.push("somebody", "private/app") == 403
        await registry.change(store.set_password, name="somebody", password_hash=OTHER_HASH)
        pulled = await registry.ask("somebody", "GET", "/v2/", password="Another1")
        assert pulled.status_code == 200
