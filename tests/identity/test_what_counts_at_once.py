"""What is taken away on one node counts on every other one for the next request, whoever takes it and however late the
transaction commits: on PostgreSQL, where nodes remember what they were told."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psycopg
import pytest
from sqlalchemy import event, text

from longshore import migrations
from longshore.db.database import Database
from longshore.identity import store
from longshore.identity.model import GroupKind, Role
from longshore.identity.permissions import Permission
from longshore.system.store import read_settings
from longshore.testing.builders import image
from tests.services.management import Management, management_of

pytestmark = pytest.mark.anyio

PULL = "/v2/private/app/manifests/latest"
PUBLIC = "/v2/public/app/manifests/latest"
ROUNDS = 12
#: Whoever may not know of a project does not learn that it is there.
REFUSED = (401, 403, 404)
NAMES = ("member", "locked", "changed", "grouped", "special", "ruled", "owner")


@dataclass
class Right:
    """Somebody who may pull, how that is taken from them, and given back."""

    login: str
    take: str
    give: str
    path: str = PULL

    async def pull(self, node: Management) -> int:
        bearer = node.passwords.get(f"token of {self.login}")
        if bearer is not None:
            headers = {"Authorization": f"Bearer {bearer}"}
            return (await node.client.get(self.path, headers=headers)).status_code
        login = node.passwords.get(f"login of {self.login}", self.login)
        return (await node.ask(login, "GET", self.path)).status_code


def of(user: str) -> str:
    return f"(SELECT id FROM users WHERE name = '{user}')"


PROJECT = "(SELECT id FROM projects WHERE name = 'private')"
MEMBER = f"(project_id, user_id, role) VALUES ({PROJECT}, {of('member')}, 2)"
RIGHTS = {
    "a member who is removed": Right(
        "member",
        f"DELETE FROM project_members WHERE user_id = {of('member')}",
        f"INSERT INTO project_members {MEMBER}",
    ),
    "a user who is locked": Right(
        "locked",
        "UPDATE users SET disabled = true WHERE name = 'locked'",
        "UPDATE users SET disabled = false WHERE name = 'locked'",
    ),
    "a token of who has another password": Right(
        "changed",
        "UPDATE users SET comment = password_hash, password_hash = 'x' WHERE name = 'changed'",
        "UPDATE users SET password_hash = comment WHERE name = 'changed'",
    ),
    "somebody who leaves a group": Right(
        "grouped",
        "DELETE FROM user_group_members",
        f"INSERT INTO user_group_members (group_id, user_id) SELECT id, {of('grouped')} FROM user_groups",
    ),
    "a group that is truncated": Right(
        "grouped",
        "TRUNCATE user_group_members",
        f"INSERT INTO user_group_members (group_id, user_id) SELECT id, {of('grouped')} FROM user_groups",
    ),
    "a role that loses pulling": Right(
        "special",
        "UPDATE custom_roles SET permissions = '[]'",
        """UPDATE custom_roles SET permissions = '["repository/pull"]'""",
    ),
    "a rule that hides": Right(
        "ruled",
        "INSERT INTO repository_rules (project_id, pattern, expression, allows, pulls, pushes, deletes, user_id, "
        f"created_at, updated_at) VALUES ({PROJECT}, 'app', '^app$', false, true, false, false, {of('ruled')}, 1, 1)",
        "DELETE FROM repository_rules",
    ),
    "a robot that is disabled": Right(
        "robot",
        "UPDATE robots SET disabled = true",
        "UPDATE robots SET disabled = false",
    ),
    "an access token that ends": Right(
        "owner",
        "UPDATE access_tokens SET expires_at = 2",
        "UPDATE access_tokens SET expires_at = NULL",
    ),
    "a project that is no longer public": Right(
        "",
        "UPDATE projects SET public = false WHERE name = 'public'",
        "UPDATE projects SET public = true WHERE name = 'public'",
        path=PUBLIC,
    ),
}


def people(connection: Any) -> None:
    """Whoever RIGHTS names."""
    private = store.project_id(connection, "private")
    users = {name: store.user_id(connection, name) for name in NAMES}
    for name in ("member", "locked", "changed", "ruled", "owner"):
        store.add_member(connection, private, Role.GUEST, user=users[name])
    group = store.add_group(connection, GroupKind.TEAM, "readers", 1.0)
    store.add_to_group(connection, group=group, user=users["grouped"])
    store.add_member(connection, private, Role.GUEST, group=group)
    role = store.add_role(connection, "puller", frozenset({Permission("repository", "pull")}), 1.0)
    found = store.any_role(connection, id=role)
    store.add_member(connection, private, found, user=users["special"])


async def programs(node: Management) -> dict[str, str]:
    """Who logs in as what, and with what."""
    access = [{"resource": "repository", "action": "pull"}]
    body = {
        "name": "ci",
        "level": "project",
        "duration": 30,
        "permissions": [{"kind": "project", "namespace": "private", "access": access}],
    }
    robot = (await node.ask("admin", "POST", "/robots", json=body)).json()
    body = {"name": "ci", "scopes": ["pull"]}
    token = (await node.ask("owner", "POST", "/api/longshore/v1/tokens", json=body)).json()
    path = "/service/token?service=longshore&scope=repository:private/app:pull"
    issued = (await node.ask("changed", "GET", path)).json()
    return {
        "token of changed": issued["token"],
        "login of robot": robot["name"],
        robot["name"]: robot["secret"],
        "owner": token["token"],
    }


@asynccontextmanager
async def two_nodes(url: str, directory: Path) -> AsyncIterator[tuple[Management, Management]]:
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(management_of(url, directory, slot)) for slot in (0, 1)
        ]
        for project, public in (("private", False), ("public", True)):
            await one.add_project(project, public=public)
            assert (await one.push("admin", f"{project}/app")).is_success
        for name in NAMES:
            await one.add_user(name)
        await one.change(people)
        passwords = await programs(one)
        for node in (one, other):
            node.passwords.update(passwords)
        yield one, other


@asynccontextmanager
async def session(url: str) -> AsyncIterator[psycopg.Connection[Any]]:
    """One that somebody else has with the database."""
    found: psycopg.Connection[Any] = await anyio.to_thread.run_sync(
        lambda: psycopg.connect(url.replace("postgresql+psycopg", "postgresql"))
    )
    try:
        yield found
    finally:
        found.close()


async def test_the_next_request_is_refused_whatever_was_taken(
    postgres_url: str, tmp_path: Path
) -> None:
    async with two_nodes(postgres_url, tmp_path) as (_, node), session(postgres_url) as other:
        for number in range(ROUNDS):
            for what, right in RIGHTS.items():
                assert await right.pull(node) == 200, what
                await anyio.to_thread.run_sync(other.execute, right.take.encode())
                if number % 3 == 0 and "TRUNCATE" not in right.take:
                    # Begun and not committed: it does not count, and whoever asks meanwhile keeps nothing of it.
                    assert [await right.pull(node) for _ in range(3)] == [200] * 3, what
                await anyio.to_thread.run_sync(other.commit)
                assert await right.pull(node) in REFUSED, what
                await anyio.to_thread.run_sync(other.execute, right.give.encode())
                await anyio.to_thread.run_sync(other.commit)
                assert await right.pull(node) == 200, what


async def test_it_counts_while_many_others_ask(postgres_url: str, tmp_path: Path) -> None:
    async with two_nodes(postgres_url, tmp_path) as (pushing, node), session(postgres_url) as other:
        refused = 0
        calm = RIGHTS["a user who is locked"]
        done = anyio.Event()

        async def crowd() -> None:
            while not done.is_set():
                assert await calm.pull(node) == 200

        async def push() -> None:
            number = 0
            while not done.is_set():
                number += 1
                assert (await pushing.push("admin", "private/other", f"v{number}")).is_success

        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(crowd)
            group.start_soon(push)
            for _ in range(ROUNDS):
                for what, right in RIGHTS.items():
                    if right is calm or "TRUNCATE" in right.take:
                        continue
                    await anyio.to_thread.run_sync(other.execute, right.take.encode())
                    await anyio.to_thread.run_sync(other.commit)
                    assert await right.pull(node) in REFUSED, what
                    refused += 1
                    await anyio.to_thread.run_sync(other.execute, right.give.encode())
                    await anyio.to_thread.run_sync(other.commit)
                    assert await right.pull(node) == 200, what
            done.set()
        assert refused


async def test_what_one_node_changes_by_its_api_counts_on_the_other(
    postgres_url: str, tmp_path: Path
) -> None:
    async with two_nodes(postgres_url, tmp_path) as (one, other):
        members = "/projects/private/members"
        for _ in range(ROUNDS):
            assert (await other.ask("member", "GET", PULL)).status_code == 200
            found = await one.ask("admin", "GET", members)
            id = next(each["id"] for each in found.json() if each["entity_name"] == "member")
            assert (await one.ask("admin", "DELETE", f"{members}/{id}")).is_success
            assert (await other.ask("member", "GET", PULL)).status_code in REFUSED
            body = {"role_id": 3, "member_user": {"username": "member"}}
            assert (await one.ask("admin", "POST", members, json=body)).is_success
            assert (await other.ask("member", "GET", PULL)).status_code == 200


async def test_a_tag_that_moves_on_one_node_has_moved_on_the_other(
    postgres_url: str, tmp_path: Path
) -> None:
    async with two_nodes(postgres_url, tmp_path) as (one, other):
        for number in range(ROUNDS):
            content = image([b"%d" % number])
            assert (await one.push("admin", "public/app", content=content)).is_success
            for by in ("", "member", ""):
                found = await other.ask(by, "GET", PUBLIC)
                assert found.headers["docker-content-digest"] == content.manifest.descriptor.digest


def test_everything_that_a_standing_is_read_from_is_watched(postgres_url: str) -> None:
    """What a standing is read from, by asking for some of each kind and looking at what the database is asked."""
    database = Database(postgres_url, pool_size=2)
    database.open()
    migrations.upgrade(database)
    read: set[str] = set()

    def note(_c: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        read.update(re.findall(r"(?:FROM|JOIN) \(*([a-z_]+)", statement))

    with database.engine.begin() as connection:
        private = store.add_project(connection, "private", 1.0)
        for name in NAMES:
            store.add_user(connection, name, "x", 1.0)
        people(connection)
        store.add_robot(connection, "ci", "x", [], 1.0, project_id=private)
        token = store.add_access_token(
            connection, store.user_id(connection, "owner"), "ci", "x", 1.0, scopes=["pull"]
        )
        connection.execute(text(RIGHTS["a rule that hides"].take))
        event.listen(connection, "before_cursor_execute", note)
        for user in ("", *NAMES, "robot+ci", f"owner#{token}"):
            store.standing(connection, user, "private")
            store.standings(connection, user, ["private", "other"])
        read_settings(connection)
    with database.engine.connect() as connection:
        watched = set(
            connection.scalars(
                text(
                    "SELECT tgrelid::regclass::text FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
                    "WHERE proname = 'rights_changed' GROUP BY 1 HAVING bool_and(tgenabled = 'A') "
                    "AND bit_or(tgtype::int) & 60 = 60"  # insert, delete, update, truncate
                )
            )
        )
    database.close()
    assert {"users", "robots", "access_tokens", "repository_rules", "system_settings"} <= read
    assert read - {"select"} <= watched
