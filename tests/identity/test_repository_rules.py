"""Rules about repositories: what they come to, against a plain model, one by one and as a condition of lists."""

from typing import Any
from unittest.mock import patch

import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from longshore.access.model import Action
from longshore.catalog import store as catalog
from longshore.catalog.model import Reader
from longshore.db.listing import Listing
from longshore.identity import permissions, store
from longshore.identity.model import FIRST_CUSTOM_ROLE, GroupKind, Role, Standing
from longshore.identity.permissions import Permission
from longshore.identity.robots import Given
from longshore.identity.rules import ACTIONS, RepositoryRule, Subject, SubjectKind, deciding
from longshore.identity.store import projects as of_projects
from longshore.quotas import store as quotas
from longshore.registry.tables import manifests, repositories
from tests.identity.parts import node

pytestmark = pytest.mark.anyio

NAMES = ["app", "tools/lint", "tools/deep/er", "tool", "a.b", "a-b"]
PATTERNS = ["**", "*", "app", "tools/*", "tools/**", "*/lint", "t*", "a.b", "a*b", "**/er"]
SUBJECTS = [
    Subject(SubjectKind.USER, 1, "u"),
    Subject(SubjectKind.GROUP, 1, "g"),
    Subject(SubjectKind.ROLE, Role.GUEST.value, "guest"),
    Subject(SubjectKind.NON_MEMBER),
]
rules = st.builds(
    RepositoryRule,
    st.integers(1, 9),
    st.sampled_from(PATTERNS),
    st.booleans(),
    st.sets(st.sampled_from(ACTIONS), min_size=1).map(frozenset),
    st.sampled_from(SUBJECTS),
)
roles = st.sets(st.sampled_from(list(Role)), max_size=2).map(frozenset)


def model_fits(pattern: str, name: str) -> bool:
    """``*`` within a component, ``**`` anything: by trying every way to read the pattern."""
    if not pattern:
        return not name
    if pattern.startswith("**"):
        return any(model_fits(pattern[2:], name[n:]) for n in range(len(name) + 1))
    if pattern.startswith("*"):
        end = name.find("/")
        most = len(name) if end < 0 else end
        return any(model_fits(pattern[1:], name[n:]) for n in range(most + 1))
    return bool(name) and name[0] == pattern[0] and model_fits(pattern[1:], name[1:])


def model_allows(base: set[str], found: list[RepositoryRule], name: str, action: str) -> bool:
    """One action at a time, by reading the rules as sentences."""
    fitting = [rule for rule in found if model_fits(rule.pattern, name)]
    for rule in fitting:
        if not rule.allows and ("pull" in rule.actions or action in rule.actions):
            return False
    gives = any(rule.allows and (action in rule.actions or action == "pull") for rule in fitting)
    return gives or action in base


@given(roles, st.lists(rules, max_size=5), st.sampled_from(NAMES), st.booleans())
def test_what_rules_come_to_is_what_they_say(held, found, name, public):
    standing = Standing(
        "u", "p", "s", 1, exists=True, public=public, roles=held, rules=tuple(found)
    )
    base = {action.value for action in standing.actions}
    expected = {a.value for a in ACTIONS if model_allows(base, found, name, a.value)}

    assert {action.value for action in standing.actions_in(f"p/{name}")} == expected
    for action in ACTIONS:
        rule = deciding(standing.rules, f"p/{name}", action)
        allowed = action.value in expected
        if rule is None:
            assert allowed == (action.value in base)
        else:
            assert rule.allows == allowed


@given(roles, st.lists(rules, max_size=5), st.sampled_from(NAMES))
def test_who_may_not_pull_may_do_nothing_that_shows_a_repository(held, found, name):
    standing = Standing("u", "p", "s", 1, exists=True, roles=held, rules=tuple(found))
    left = standing.permissions_in(f"p/{name}")

    if Action.PULL not in standing.actions_in(f"p/{name}"):
        assert not left & frozenset().union(*permissions.IN_REPOSITORY.values())
    # Rules are about repositories only.
    outside = standing.permissions - frozenset().union(*permissions.IN_REPOSITORY.values())
    assert outside <= left


def test_every_permission_that_a_rule_gives_is_one_of_a_project_administrator():
    for given_by_action in permissions.IN_REPOSITORY.values():
        assert given_by_action <= permissions.PROJECT_ADMIN
    assert permissions.IN_REPOSITORY[Action.PULL] >= permissions.LISTS


def test_patterns_are_read_without_the_project():
    rule = RepositoryRule(1, "library/*", True, frozenset({Action.PULL}), SUBJECTS[0])

    assert rule.fits("library/library/x")
    assert not rule.fits("library/x")
    assert RepositoryRule(1, "x", True, frozenset(), SUBJECTS[0]).fits("x")


def kept(connection: Any, project: int, found: list[RepositoryRule]) -> None:
    for rule in store.list_rules(connection, project):
        store.remove_rule(connection, project, rule.id)
    for rule in found:
        store.add_rule(connection, project, rule, 1.0)


async def test_lists_show_what_each_decision_lets_pull(cluster):
    """SQL and Python say the same, for every kind of subject, whatever the rules are."""
    async with node(cluster) as registry:
        ids = await registry.people.write(_populate)

        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.data())
        def check(data: st.DataObject) -> None:
            subjects = [
                Subject(SubjectKind.USER, ids["user"]),
                Subject(SubjectKind.GROUP, ids["group"]),
                Subject(SubjectKind.ROLE, Role.GUEST.value),
                Subject(SubjectKind.ROLE, FIRST_CUSTOM_ROLE),
                Subject(SubjectKind.NON_MEMBER),
            ]
            drawn = data.draw(st.lists(st.tuples(rules, st.sampled_from(subjects)), max_size=4))
            found = [
                RepositoryRule(0, rule.pattern, rule.allows, rule.actions, subject)
                for rule, subject in drawn
            ]
            role = data.draw(st.sampled_from([None, *Role, ids["reader"], ids["other"]]))
            by_group = data.draw(st.sampled_from([None, Role.GUEST, ids["reader"]]))
            public = data.draw(st.booleans())
            with registry.people.engine.connect() as connection:
                kept(connection, ids["project"], found)
                store.set_public(connection, "p", public)
                if role is not None:
                    store.add_member(connection, ids["project"], role, user=ids["user"])
                if by_group is not None:
                    store.add_member(connection, ids["project"], by_group, group=ids["group"])
                names = data.draw(st.sets(st.sampled_from(ids["names"]), min_size=1, max_size=4))
                # Memberships are named one by one, or asked for in the query when there are too many.
                with patch.object(of_projects, "_NAMED", data.draw(st.sampled_from([0, 1000]))):
                    for name in sorted(names):
                        _compare(connection, name)
                connection.rollback()

        await anyio.to_thread.run_sync(check)


def _compare(connection: Any, name: str) -> None:
    standing = store.standing(connection, name, "p")
    assert store.standings(connection, name, ["p", "none"])["p"] == standing
    listed = Permission("repository", "list")
    expected = {
        f"p/{inner}"
        for inner in NAMES
        if Action.PULL in standing.actions_in(f"p/{inner}")
        and listed in standing.permissions_in(f"p/{inner}")
    }
    found, total = catalog.page_of_visible_repositories(connection, Listing(), standing.sight)
    assert {one.name for one in found} == expected, name
    assert total == len(expected)
    if listed in standing.listable and Action.PULL in standing.actions:
        listable = listed in standing.permissions
        reader = Reader(standing.sight, listable=listable) if standing.rules else None
        inside, _ = catalog.page_of_repositories(connection, Listing(), ["p"], reader=reader)
        assert {one.name for one in inside} == expected


def _populate(connection: Any) -> dict[str, Any]:
    user = store.add_user(connection, "u", None, 1.0)
    group = store.add_group(connection, GroupKind.TEAM, "g", 1.0)
    store.add_to_group(connection, group, user)
    project = store.add_project(connection, "p", 1.0)
    pull, list_ = Permission("repository", "pull"), Permission("repository", "list")
    reader = store.add_role(connection, "reader", frozenset({pull, list_}), 1.0)
    other = store.add_role(connection, "other", frozenset({Permission("label", "list")}), 1.0)
    quotas.install(connection)  # lists of repositories ask what is counted
    for number, inner in enumerate(NAMES, 1):
        row = {"id": number, "name": f"p/{inner}", "namespace": "p", "created_at": 1.0}
        connection.execute(insert(repositories).values(row))
        manifest = {
            "repository_id": number,
            "digest": f"sha256:{number:064}",
            "media_type": "x",
            "size": 1,
            "pushed_at": 1.0,
        }
        connection.execute(insert(manifests).values(manifest))
    return {
        "user": user,
        "group": group,
        "project": project,
        "reader": store.find_role(connection, id=reader),
        "other": store.find_role(connection, id=other),
        "names": ["", "u", "root", *_programs(connection, user)],
    }


def _programs(connection: Any, user: int) -> list[str]:
    """Access tokens of the user and of an administrator, and robots, with rights here or elsewhere."""
    store.add_project(connection, "q", 1.0)
    root = store.add_user(connection, "root", None, 1.0, is_admin=True)
    names = []
    for number, (owner, login, scope, projects) in enumerate(
        (
            (user, "u", "manage", ()),
            (user, "u", "pull", ()),
            (user, "u", "push", ("p",)),
            (user, "u", "push", ("q",)),
            (root, "root", "pull", ()),
            (root, "root", "pull", ("p",)),
            (root, "root", "delete", ("q",)),
        )
    ):
        added = store.add_access_token(
            connection, owner, f"t{number}", str(number), 1.0, scopes=[scope], projects=projects
        )
        names.append(f"{login}#{added}")
    reading = frozenset({Permission("repository", "pull"), Permission("repository", "list")})
    for number, place in enumerate(("p", "q", "*")):
        given = [Given("project", place, reading)]
        store.add_robot(connection, f"r{number}", f"r{number}", given, 1.0)
        names.append(f"robot+r{number}")
    return names
