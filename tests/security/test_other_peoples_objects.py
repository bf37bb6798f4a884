"""Ids of what belongs to somebody else (insecure direct object references): every route, every id in its path."""

from collections.abc import Iterator
from itertools import product

import pytest

from longshore.api.caller import SystemRule, rule_of
from tests.api.test_who_may import ROUTES
from tests.security.neighbours import (
    CANARY,
    REQUESTS,
    Ids,
    Neighbours,
    ask,
    parameters,
    rows,
    with_ids,
)

pytestmark = pytest.mark.anyio

#: Parameters that name nobody's object: everybody may read what roles there are, and runs are the registry's.
WORDS = {"meta_name", "addition", "role_id", "gc_id", "purge_id"}
#: What names something new, in a project that is looked at.
NEW = {"POST /projects/{project}/repositories/{repository:path}/artifacts": {"repository"}}


def objects(name: str) -> list[str]:
    """The parameters of a route that name objects."""
    return [one for one in parameters(name) if one not in WORDS | NEW.get(name, set())]


def mixtures(name: str, mine: Ids, theirs: Ids) -> Iterator[Ids]:
    """Every choice of ``mine`` and ``theirs`` for the objects of a path, with one of theirs at least."""
    names = objects(name)
    for choice in product((mine, theirs), repeat=len(names)):
        if theirs in choice:
            chosen = {one: side.get(one, "1") for one, side in zip(names, choice, strict=True)}
            if "token_id" in chosen:
                owner = mine if chosen["token_id"] == mine["token_id"] else theirs
                chosen["refresh_token"] = owner["refresh_token"]
            project = chosen.get("project") == theirs["project"]
            yield {**mine, **chosen, "name": (theirs if project else mine)["name"]}


async def test_every_parameter_of_a_path_has_an_object(neighbours: Neighbours) -> None:
    for name in ROUTES:
        assert set(parameters(name)) <= {*neighbours.emil.ids}, (
            "add it to tests.security.neighbours"
        )


async def test_ids_of_others_are_refused_and_told_apart_by_nobody(neighbours: Neighbours) -> None:
    management, mine = neighbours.management, neighbours.dora.ids
    before = await management.database.read(rows)
    for name in filter(objects, ROUTES):
        theirs = mixtures(name, mine, neighbours.emil.ids)
        missing = mixtures(name, mine, neighbours.missing)
        for real, none in zip(theirs, missing, strict=True):
            reply = await ask(management, "dora", name, real)
            assert reply.status_code in (403, 404), (name, real, reply.text)
            absent = await ask(management, "dora", name, none)
            # One of the two is there, and nothing shows which.
            assert reply.status_code == absent.status_code, (name, real)
            assert _without(reply.text, real) == _without(absent.text, none), name
    after = await management.database.read(rows)
    assert after == before


def _without(text: str, ids: Ids) -> str:
    for value in sorted({*ids.values()}, key=len, reverse=True):
        text = text.replace(value, "?")
    return text


async def test_owners_get_what_others_are_refused(neighbours: Neighbours) -> None:
    management, emil = neighbours.management, neighbours.emil
    for name in filter(objects, ROUTES):
        if name.startswith("GET"):
            by = "admin" if isinstance(rule_of(ROUTES[name]), SystemRule) else emil.user
            if name.endswith("/metadatas"):
                by = "admin"
            reply = await ask(management, by, name, emil.ids)
            assert reply.status_code == 200, (name, reply.text)


async def test_no_list_shows_what_belongs_to_others(neighbours: Neighbours) -> None:
    management, ids = neighbours.management, neighbours.emil.ids
    lists = [name for name in ROUTES if name.startswith("GET") and not parameters(name)]
    filters: tuple[dict[str, str], ...] = (
        {},
        {"q": "name=~hush"},
        {"q": f"project_id={ids['project']}"},
        {"q": f"owner_id={ids['user_id']}"},
        {"q": "hush", "name": "hush", "owner": "emil"},
    )
    for by, name, more in product(("dora", ""), lists, filters):
        params = {"username": "h", "groupname": "h", "scope": "g", **more}
        reply = await ask(management, by, name, ids, params=params)
        assert CANARY not in reply.text, (name, by, params)
    for by in ("dora", ""):
        assert CANARY not in (await management.ask(by, "GET", "/v2/_catalog")).text


async def test_ids_in_bodies_and_queries_reach_no_further(neighbours: Neighbours) -> None:
    management, mine, theirs = neighbours.management, neighbours.dora.ids, neighbours.emil.ids
    before = await management.database.read(rows)
    place = f"/projects/{mine['name']}/repositories/{mine['repository']}/artifacts"
    source = f"{theirs['name']}/{theirs['repository']}:{theirs['reference']}"
    robot = with_ids(REQUESTS["POST /robots"].json, theirs)
    of_project = f"Level=project,ProjectID={theirs['project']}"
    for method, path, parts, status in (
        (
            "POST",
            "/labels",
            {"json": {"name": "x", "scope": "p", "project_id": int(theirs["project"])}},
            403,
        ),
        ("GET", "/labels", {"params": {"scope": "p", "project_id": theirs["project"]}}, 403),
        ("POST", place, {"params": {"from": source}}, 403),
        (
            "POST",
            f"{place}/{mine['reference']}/labels",
            {"json": {"id": int(theirs["label_id"])}},
            404,
        ),
        ("POST", "/robots", {"json": robot}, 403),
        ("GET", "/robots", {"params": {"q": of_project}}, 403),
        (
            "GET",
            "/users/current/permissions",
            {"params": {"scope": f"/project/{theirs['project']}"}},
            200,
        ),
        ("GET", place, {"params": {"q": f"labels=({theirs['label_id']})"}}, 200),
    ):
        reply = await management.ask("dora", method, path, **parts)
        assert reply.status_code == status, (path, reply.text)
        if status == 200:
            assert reply.json() == []
    teams = await management.ask("dora", "GET", "/api/longshore/v1/teams")
    assert "crew of dora" in teams.text
    assert "crew of emil" not in teams.text
    assert await management.database.read(rows) == before
