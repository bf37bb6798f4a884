"""Configuration x who x action -> outcome, through the application."""

from pathlib import Path
from typing import Any

import pytest

from longshore.access.errors import AccessError
from tests.access.parts import basic, serving

pytestmark = pytest.mark.anyio

ALICE = basic("alice", "alice-secret")
BOB = basic("bob", "bob-secret")
CI = basic("ci", "ci-secret")
WRONG = basic("alice", "bob-secret")
UNKNOWN = basic("mallory", "alice-secret")
NOBODY = ""
EMPTY = basic("", "")

RULES = [
    {"repository": "secret/**", "users": ["alice"], "actions": ["*"]},
    {"repository": "secret/**", "users": ["*", "anonymous"], "actions": []},
    {"repository": "team/*", "users": ["bob"], "actions": ["push"]},
    {"repository": "*/readonly", "users": ["alice"], "actions": ["pull", "delete"]},
    {"repository": "**", "users": ["ci"], "actions": ["pull"]},
    {"repository": "public/**", "users": ["*", "anonymous"], "actions": ["pull"]},
]
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "htpasswd": {},
    "anonymouspull": {"anonymouspull": True},
    "rules": {"rules": RULES},
}

#: configuration, who, [(request, status)]
TABLE = [
    ("none", NOBODY, "base 200, catalog 200, pull 200, push 200, delete 200"),
    ("none", ALICE, "base 200, catalog 200, pull 200, push 200, delete 200"),
    ("htpasswd", NOBODY, "base 401, catalog 401, pull 401, push 401, delete 401"),
    ("htpasswd", EMPTY, "base 401, catalog 401, pull 401, push 401, delete 401"),
    ("htpasswd", ALICE, "base 200, catalog 200, pull 200, push 200, delete 200"),
    ("htpasswd", CI, "base 200, catalog 200, pull 200, push 200, delete 200"),
    ("htpasswd", WRONG, "base 401, catalog 401, pull 401, push 401"),
    ("htpasswd", UNKNOWN, "base 401, catalog 401, pull 401, push 401"),
    ("anonymouspull", NOBODY, "base 401, catalog 401, pull 200, push 401, delete 401"),
    ("anonymouspull", EMPTY, "base 401, catalog 401, pull 200, push 401, delete 401"),
    ("anonymouspull", ALICE, "base 200, catalog 200, pull 200, push 200, delete 200"),
    ("anonymouspull", WRONG, "base 401, catalog 401, pull 401, push 401"),
    ("rules", NOBODY, "base 401, catalog 401, pull 401, pull:public/a/b 200, push:public/a 401"),
    ("rules", NOBODY, "pull:secret/a 401, pull:team/app 401"),
    ("rules", ALICE, "base 200, catalog 403, push:secret/a/b 200, delete:secret/a 200"),
    ("rules", ALICE, "pull:x/readonly 200, delete:x/readonly 200, push:x/readonly 403"),
    ("rules", ALICE, "pull:a/x/readonly 403, pull:public/a 200, push:public/a 403"),
    ("rules", BOB, "pull:team/app 200, push:team/app 200, delete:team/app 403"),
    ("rules", BOB, "pull:team/app/sub 403, pull:secret/a 403, pull:public/a 200, pull 403"),
    ("rules", CI, "pull:anything/at/all 200, push:anything 403, pull:secret/a 403, catalog 403"),
    ("rules", WRONG, "base 401, pull:public/a 401"),
]

METHODS = {"pull": "GET", "push": "PUT", "delete": "DELETE"}


def _request(step: str) -> tuple[str, str]:
    what, _, name = step.partition(":")
    if what in METHODS:
        return METHODS[what], f"/v2/{name or 'library/app'}/x"
    return "GET", {"base": "/v2/", "catalog": "/v2/_catalog"}[what]


@pytest.mark.parametrize(("configuration", "who", "steps"), TABLE)
async def test_the_table_of_rights(
    htpasswd: Path, configuration: str, who: str, steps: str
) -> None:
    auth = {} if configuration == "none" else {"htpasswd": {"realm": "R", "path": htpasswd}}
    async with serving(auth, CONFIGURATIONS[configuration]) as registry:
        outcome = []
        for step in steps.split(", "):
            request = step.split()[0]
            response = await registry.ask(*_request(request), authorization=who)
            outcome.append(f"{request} {response.status_code}")
        assert ", ".join(outcome) == steps


@pytest.mark.parametrize(("configuration", "scheme"), [("htpasswd", "Basic"), ("rules", "Bearer")])
async def test_a_challenge_comes_with_every_401_and_only_there(
    htpasswd: Path, configuration: str, scheme: str
) -> None:
    auth = {"htpasswd": {"realm": "R", "path": htpasswd}}
    async with serving(auth, CONFIGURATIONS[configuration]) as registry:
        for who in (NOBODY, WRONG, "Basic ???", "Digest x", "Bearer x.y.z"):
            response = await registry.ask("PUT", "/v2/a/x", authorization=who)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith(scheme + " ")
            assert response.headers["cache-control"] == "no-store"
        denied = await registry.ask("PUT", "/v2/public/x", authorization=BOB)
        assert "www-authenticate" not in denied.headers


async def test_the_basic_challenge_is_that_of_distribution(htpasswd: Path) -> None:
    auth = {"htpasswd": {"realm": 'The "Realm"', "path": htpasswd}}
    async with serving(auth) as registry:
        response = await registry.ask("GET", "/v2/")
        assert response.headers["www-authenticate"] == 'Basic realm="The \\"Realm\\""'


async def test_a_refusal_lists_the_rights_as_distribution_does(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        response = await registry.ask("PUT", "/v2/team/app/x")
        (error,) = response.json()["errors"]
        assert error["code"] == "UNAUTHORIZED"
        assert error["detail"] == [
            {"Type": "repository", "Class": "", "Name": "team/app", "Action": "pull"},
            {"Type": "repository", "Class": "", "Name": "team/app", "Action": "push"},
        ]
        (error,) = (await registry.ask("GET", "/v2/")).json()["errors"]
        assert "detail" not in error


async def test_a_refusal_says_what_is_missing_who_asks_and_what_to_do(htpasswd: Path) -> None:
    auth = {"htpasswd": {"path": htpasswd}}
    async with serving(auth, {"rules": RULES}) as registry:
        message = await _message(registry.ask("PUT", "/v2/team/app/x"))
        assert "pull and push on repository 'team/app'" in message
        assert "docker login registry.example" in message
        message = await _message(registry.ask("DELETE", "/v2/team/app/x", authorization=BOB))
        assert "user 'bob'" in message
        assert "delete on repository 'team/app'" in message
        assert "longshore.access.rules" in message
        message = await _message(registry.ask("GET", "/v2/_catalog", authorization=BOB))
        assert "listing all repositories" in message
        message = await _message(registry.ask("GET", "/v2/", authorization=WRONG))
        assert "'alice'" in message
        assert "longshore htpasswd" in message


async def test_passwords_show_up_nowhere(htpasswd: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        for who in (ALICE, basic("alice", "hunter-2-wrong"), basic("nobody", "hunter-2-wrong")):
            response = await registry.ask("GET", "/v2/a/x", authorization=who)
            assert "secret" not in response.text
            assert "hunter" not in response.text
        said = caplog.text + repr(registry.exchanges)
        assert "hunter" not in said
        assert "alice-secret" not in said


async def test_the_log_names_the_user_only_after_proof(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        await registry.ask("GET", "/v2/", authorization=ALICE)
        await registry.ask("GET", "/v2/", authorization=WRONG)
        assert [exchange.user for exchange in registry.exchanges] == ["alice", ""]


async def test_a_mount_is_answered_for_the_same_requester_without_refusals(
    htpasswd: Path,
) -> None:
    auth = {"htpasswd": {"path": htpasswd}}
    async with serving(auth, {"rules": RULES}) as registry:
        for who, source, mounted in [
            (BOB, "team/other", True),
            (BOB, "secret/a", False),
            (NOBODY, "public/a", True),
            (NOBODY, "team/other", False),
            (WRONG, "public/a", False),
        ]:
            path = f"/v2/team/app/mount/{source}"
            response = await registry.ask("POST", path, authorization=who)
            assert response.json() == {"mounted": mounted}


async def test_rules_alone_bind_everybody_where_nobody_can_log_in() -> None:
    rule = {"repository": "**", "users": ["anonymous"], "actions": ["pull"]}
    async with serving({}, {"rules": [rule]}) as registry:
        assert (await registry.ask("GET", "/v2/")).status_code == 200
        assert (await registry.ask("GET", "/v2/_catalog")).status_code == 200
        assert (await registry.ask("GET", "/v2/a/x")).status_code == 200
        response = await registry.ask("PUT", "/v2/a/x")
        assert response.status_code == 403
        assert "without auth nobody can log in" in response.text


RULE = {"repository": "**", "users": ["a"], "actions": ["pull"]}
TOKEN = {"realm": "r", "service": "s", "issuer": "i", "jwks": "keys.json"}


@pytest.mark.parametrize(
    ("auth", "access"),
    [
        ({"htpasswd": {"path": "users"}}, {"rules": [{**RULE, "repository": "a/***"}]}),
        ({"token": TOKEN}, {"rules": [RULE]}),
        ({"silly": {}}, {}),
    ],
)
async def test_settings_that_contradict_each_other_are_refused(
    auth: dict[str, Any], access: dict[str, Any]
) -> None:
    with pytest.raises(AccessError):
        async with serving(auth, access):
            pass


async def test_silly_takes_any_header_in_development() -> None:
    auth = {"silly": {"realm": "https://silly.example/token", "service": "silly"}}
    async with serving(auth, dev=True) as registry:
        response = await registry.ask("PUT", "/v2/a/x")
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == (
            'Bearer realm="https://silly.example/token",service="silly",'
            'scope="repository:a:pull,push"'
        )
        response = await registry.ask("PUT", "/v2/a/x", authorization="whatever")
        assert response.json()["user"] == "silly"


async def _message(pending: Any) -> str:
    message: str = (await pending).json()["errors"][0]["message"]
    return message
