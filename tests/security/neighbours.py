"""Two people, each with a project of their own and one of every kind of object in it, and what every route
of the management API is asked with.

Whoever adds a route with a new kind of id adds it to the ids of a :class:`Side`, and a row to REQUESTS for a
body that is needed: the tests go through the table of routes.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData

from longshore.api.caller import ProjectRule, rule_of
from longshore.identity import store
from longshore.identity.model import Role
from longshore.testing.builders import image
from tests.api.test_who_may import ROUTES
from tests.services.browser import Browser
from tests.services.management import PASSWORD, Management, management_of

#: Begins the names of everything that only emil may be told of.
CANARY = "hush-emil"
#: Not rows of anybody: what the registry notes about requests, and what it has to do.
NOTES = {
    "audit_log",
    "audit_state",
    "jobs",
    "job_logs",
    "outbox",
    "login_misses",
    "settings",
    "artifact_details",
}

Ids = Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """What a route needs beside its path; names in braces are ids of the side that is asked about."""

    json: Any = None
    params: Mapping[str, str] = field(default_factory=dict)


_OWN = "/api/longshore/v1"
_PULL = {"resource": "repository", "action": "pull"}
_ROBOT = {
    "level": "project",
    "duration": 30,
    "permissions": [{"kind": "project", "namespace": "{name}", "access": [_PULL]}],
}
_RULE = {
    "pattern": "changed/**",
    "effect": "deny",
    "actions": ["push"],
    "subject": {"type": "role", "name": "guest"},
}
_WEEKLY = Request({"schedule": {"type": "Weekly"}})
_PURGE = Request({"schedule": {"type": "Weekly"}, "parameters": {"audit_retention_hour": 24}})
_TAG = Request({"name": "another"})
#: A good request, where one without a body and without parameters is none.
REQUESTS: Mapping[str, Request] = {
    "POST /users": Request(
        {"username": "new", "password": PASSWORD, "email": "new@x.test", "realname": "New"}
    ),
    "PUT /users/{user_id}": Request({"email": "changed@x.test", "realname": "Changed"}),
    "PUT /users/{user_id}/sysadmin": Request({"sysadmin_flag": False}),
    "PUT /users/{user_id}/password": Request(
        {"old_password": PASSWORD, "new_password": "Another12"}
    ),
    "GET /users/search": Request(params={"username": "e"}),
    "POST /usergroups": Request({"group_name": "new", "group_type": 2}),
    "PUT /usergroups/{group_id}": Request({"group_name": "changed"}),
    "GET /usergroups/search": Request(params={"groupname": "e"}),
    "PUT /quotas/{id}": Request({"hard": {"storage": 1 << 30}}),
    "HEAD /projects": Request(params={"project_name": "library"}),
    "POST /projects": Request({"project_name": "new"}),
    "PUT /projects/{project}": Request({"metadata": {"severity": "high"}}),
    "POST /projects/{project}/metadatas": Request({"auto_scan": "true"}),
    "PUT /projects/{project}/metadatas/{meta_name}": Request({"prevent_vul": "false"}),
    "POST /projects/{project}/members": Request(
        {"role_id": 3, "member_user": {"username": "frida"}}
    ),
    "PUT /projects/{project}/members/{mid}": Request({"role_id": 2}),
    "PUT /projects/{project}/repositories/{repository:path}": Request({"description": "changed"}),
    "POST /projects/{project}/repositories/{repository:path}/artifacts": Request(
        params={"from": "{source}"}
    ),
    "POST /projects/{project}/repositories/{repository:path}/artifacts/{reference}/tags": _TAG,
    "POST /projects/{project}/repositories/{repository:path}/artifacts/{reference}/labels": Request(
        {"id": "{spare_label}"}
    ),
    "POST /labels": Request({"name": "new", "scope": "p", "project_id": "{project}"}),
    "PUT /labels/{label_id}": Request({"name": "changed"}),
    "GET /labels": Request(params={"scope": "p", "project_id": "{project}"}),
    "GET /search": Request(params={"q": CANARY}),
    "POST /system/gc/schedule": _WEEKLY,
    "PUT /system/gc/schedule": _WEEKLY,
    "POST /system/purgeaudit/schedule": _PURGE,
    "PUT /system/purgeaudit/schedule": _PURGE,
    "POST /robots": Request({**_ROBOT, "name": "other"}),
    "PUT /robots/{robot_id}": Request({**_ROBOT, "name": "{robot}", "description": "changed"}),
    "PATCH /robots/{robot_id}": Request({"overlap": 60}),
    f"POST {_OWN}/roles": Request({"name": "new", "permissions": [_PULL]}),
    f"PUT {_OWN}/roles/{{role_id}}": Request({"description": "changed"}),
    f"POST {_OWN}/projects/{{project}}/repository-rules": Request(_RULE),
    f"PUT {_OWN}/projects/{{project}}/repository-rules/{{rule_id}}": Request(_RULE),
    f"POST {_OWN}/users/current/second-factor": Request({"password": PASSWORD}),
    f"POST {_OWN}/teams": Request({"name": "new team"}),
    f"PUT {_OWN}/teams/{{team_id}}": Request({"name": "changed team"}),
    f"POST {_OWN}/teams/{{team_id}}/members": Request({"username": "frida"}),
    f"PUT {_OWN}/teams/{{team_id}}/members/{{user_id}}": Request({"maintainer": True}),
    f"POST {_OWN}/tokens": Request({"name": "new", "scopes": ["pull"]}),
    f"POST {_OWN}/tokens/{{token_id}}/rotate": Request({"overlap": 60}),
    "POST /system/oidc/ping": Request({"url": "http://127.0.0.1:1"}),
    "PUT /configurations": Request({"banner_message": ""}),
    "POST /api/longshore/v1/users/current/second-factor": Request({"password": PASSWORD}),
}


@dataclass(frozen=True)
class Side:
    """Somebody with their project. ``ids`` has what stands for the parameters of paths, by their names."""

    user: str
    ids: Ids


@dataclass(frozen=True)
class Neighbours:
    """``missing`` are ids that nothing has."""

    management: Management
    dora: Side
    emil: Side
    missing: Ids


def parameters(name: str) -> list[str]:
    """The names of the parameters in a route's path."""
    return re.findall(r"\{(\w+)(?::\w+)?\}", name)


def filled(name: str, ids: Ids) -> str:
    """The path of a route with ``ids``."""
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda part: ids.get(part[1], "1"), name.split(" ", 1)[1])


def with_ids(value: Any, ids: Ids) -> Any:
    """A body or parameters with ``ids``; what consists of digits only becomes a number in bodies."""
    if isinstance(value, dict):
        return {name: with_ids(one, ids) for name, one in value.items()}
    if isinstance(value, list):
        return [with_ids(one, ids) for one in value]
    if isinstance(value, str) and "{" in value:
        text = re.sub(r"\{(\w+)\}", lambda part: ids[part[1]], value)
        return int(text) if text.isdigit() else text
    return value


def by_name(name: str, ids: Ids) -> Ids:
    """``ids`` as the route ``name`` wants them: some take a project by its name only, and two kinds of
    objects are called tokens."""
    if "/refresh-tokens/" in name:
        ids = {**ids, "token_id": ids["refresh_token"]}
    rule = rule_of(ROUTES[name])
    return (
        {**ids, "project": ids["name"]} if isinstance(rule, ProjectRule) and rule.by_name else ids
    )


async def ask(management: Management, by: str, name: str, ids: Ids, **parts: Any) -> Any:
    """The reply to a good request to the route ``name`` about ``ids``."""
    wanted = REQUESTS.get(name, Request())
    method = name.split(" ", 1)[0]
    json = with_ids(wanted.json, ids)
    if json is None and ROUTES[name].body_field is not None:
        json = {}
    parts = {"params": with_ids(dict(wanted.params), ids), "json": json, **parts}
    return await management.ask(by, method, filled(name, by_name(name, ids)), **parts)


_SCHEMAS: dict[str, MetaData] = {}


def rows(connection: Any) -> dict[str, list[dict[str, Any]]]:
    """Everything that the database holds for somebody, by table."""
    dialect = connection.dialect.name
    if dialect not in _SCHEMAS:
        found = MetaData()
        found.reflect(connection)
        _SCHEMAS[dialect] = found
    return {
        name: sorted((dict(row) for row in connection.execute(table.select()).mappings()), key=repr)
        for name, table in _SCHEMAS[dialect].tables.items()
        if name not in NOTES
    }


async def _side(management: Management, user: str) -> Side:
    async def made(path: str, json: Any, by: str = user) -> str:
        reply = await management.ask(by, "POST", path, json=json)
        assert reply.status_code == 201, reply.text
        return reply.headers["location"].rpartition("/")[2]

    own = f"hush-{user}"
    id = await management.add_user(user, email=f"{own}@x.test", real_name=own)
    project, repository, tag = f"{own}-team", f"{own}-app", f"{own}-tag"
    number = str(await management.add_project(project, {user: Role.PROJECT_ADMIN}))
    content = image([f"what {user} has".encode()])
    assert (await management.push(user, f"{project}/{repository}", tag, content)).is_success
    metadata = {"metadata": {"prevent_vul": "true"}}
    assert (await management.ask(user, "PUT", f"/projects/{number}", json=metadata)).is_success
    label = {"name": f"{own}-label", "scope": "p", "project_id": int(number)}
    group = {"group_name": f"group of {user}", "group_type": 2}
    member = {"role_id": 5, "member_user": {"username": "grete"}}
    ids = {
        "project": number,
        "name": project,
        "source": f"{project}/{repository}:{tag}",
        "id": number,
        "user_id": str(id),
        "repository": repository,
        "reference": tag,
        "tag_name": tag,
        "label_id": await made("/labels", label),
        "spare_label": await made("/labels", {**label, "name": f"{own}-spare"}),
        "mid": await made(f"/projects/{number}/members", member),
        "meta_name": "prevent_vul",
        "gc_id": "1",
        "purge_id": "1",
        "addition": "build_history",
    }
    place = f"/projects/{project}/repositories/{repository}/artifacts/{tag}/labels"
    marked = await management.ask(user, "POST", place, json={"id": int(ids["label_id"])})
    assert marked.is_success, marked.text
    made_group = await management.ask("admin", "POST", "/usergroups", json=group)
    ids["group_id"] = made_group.headers["location"].rpartition("/")[2]
    assert (await Browser(management).log_in(user)).is_success
    (session,) = (await management.ask(user, "GET", "/api/longshore/v1/sessions")).json()
    ids["session_id"] = str(session["id"])
    asked = "/service/token?service=longshore&offline_token=true"
    assert (await management.ask(user, "GET", asked)).is_success
    (token,) = (await management.ask(user, "GET", "/api/longshore/v1/refresh-tokens")).json()
    ids["refresh_token"] = str(token["id"])
    robot = with_ids({**_ROBOT, "name": f"{own}-robot"}, ids)
    ids["robot_id"] = await made("/robots", robot)
    shown = await management.ask(user, "GET", f"/robots/{ids['robot_id']}")
    ids["robot"] = shown.json()["name"]
    rule = {**_RULE, "pattern": f"{own}/**"}
    ids["rule_id"] = await made(f"{_OWN}/projects/{number}/repository-rules", rule)
    ids["token_id"] = await made(f"{_OWN}/tokens", {"name": f"{own}-token", "scopes": ["pull"]})
    ids["team_id"] = await made(f"{_OWN}/teams", {"name": f"crew of {user}"}, "admin")
    member = {"username": user, "maintainer": True}
    await made(f"{_OWN}/teams/{ids['team_id']}/members", member, "admin")
    role = {"name": f"role-of-{user}", "permissions": [_PULL]}
    ids["role_id"] = await made(f"{_OWN}/roles", role, "admin")
    identity = {"provider": "oidc:company", "subject": own}
    await management.change(store.link_identity, user=id, now=1.0, **identity)
    place = "/api/longshore/v1/users/current/identities"
    (linked,) = (await management.ask(user, "GET", place)).json()
    ids["identity_id"] = linked["id"]
    return Side(user, ids)


async def settled(management: Management) -> Neighbours:
    """Dora and emil in a registry."""
    for user in ("frida", "grete"):
        await management.add_user(user)
    dora, emil = await _side(management, "dora"), await _side(management, "emil")
    numbers = {name: "987654321" for name, value in emil.ids.items() if value.isdigit()}
    names = dict.fromkeys(("name", "repository", "reference", "tag_name"), "unheard-of")
    names["identity_id"] = "f" * 16
    return Neighbours(management, dora, emil, {**emil.ids, **numbers, **names})


@pytest.fixture
async def neighbours(management: Management) -> Neighbours:
    """Dora and emil, who know nothing of each other's projects; on either database."""
    return await settled(management)


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Management]:
    """One process on SQLite, for what no database has a part in."""
    async with management_of(f"sqlite:///{tmp_path}/db", tmp_path) as found:
        yield found


@pytest.fixture
async def at_home(embedded: Management) -> Neighbours:
    """Dora and emil on SQLite, for what no database has a part in."""
    return await settled(embedded)
