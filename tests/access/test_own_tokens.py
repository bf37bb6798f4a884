"""Where some things need no login: the Bearer challenge, the token endpoint, and its tokens.

The steps are those of docker: ask /v2/, go where the challenge points, come back with the token.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.access.issuer import Scopes, SharedSecret, TokenIssuer, parse_scopes
from longshore.access.model import ANONYMOUS, Action
from longshore.access.passwords import hash_password
from longshore.access.token import InvalidToken
from tests.access.parts import SECRET, Clock, Registry, basic, edit, serving
from tests.access.tokenserver import claims, segment, sign

pytestmark = pytest.mark.anyio

PULL = {"anonymouspull": True}
RULES = {
    "rules": [
        {"repository": "private/**", "users": ["alice"], "actions": ["push"]},
        {"repository": "public/**", "users": ["anonymous", "*"], "actions": ["pull"]},
        {"repository": "**", "users": ["ci"], "actions": ["*"]},
    ]
}


async def _token(
    registry: Registry, *scopes: str, authorization: str = "", service: str = "longshore"
) -> str:
    response = await registry.client.get(
        "/v2/token",
        params={"service": service, "scope": list(scopes)},
        headers={"authorization": authorization} if authorization else {},
    )
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    token: str = response.json()["token"]
    return f"Bearer {token}"


async def _like_docker(
    registry: Registry, method: str, path: str, scope: str, login: str = ""
) -> int:
    """The status that docker ends with."""
    base = await registry.ask("GET", "/v2/")
    found = re.fullmatch(
        r'Bearer realm="https://registry\.example(/[^"]+)",service="([^"]+)"',
        base.headers["www-authenticate"],
    )
    assert found is not None
    reply = await registry.client.get(
        found[1],
        params={"service": found[2], "scope": scope, "account": "x"},
        headers={"authorization": login} if login else {},
    )
    if reply.status_code != 200:
        return reply.status_code
    bearer = f"Bearer {reply.json()['token']}"
    return (await registry.ask(method, path, authorization=bearer)).status_code


async def test_without_anything_for_the_anonymous_the_challenge_is_basic_and_no_tokens_exist(
    htpasswd: Path,
) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}) as registry:
        response = await registry.ask("GET", "/v2/")
        assert response.headers["www-authenticate"].startswith("Basic ")
        assert (await registry.client.get("/v2/token")).status_code == 404
        response = await registry.ask("GET", "/v2/", authorization="Bearer a.b.c")
        assert response.status_code == 401
        assert "holds a token where a user name and a password are due" in response.text


@pytest.mark.parametrize(
    ("method", "scope", "login", "status"),
    [
        ("GET", "repository:team/app:pull", "", 200),
        ("PUT", "repository:team/app:pull,push", "", 401),
        ("GET", "repository:team/app:pull", basic("alice", "alice-secret"), 200),
        ("PUT", "repository:team/app:pull,push", basic("alice", "alice-secret"), 200),
        ("DELETE", "repository:team/app:delete", basic("alice", "alice-secret"), 200),
        ("PUT", "repository:team/app:pull", basic("alice", "alice-secret"), 401),
        ("GET", "repository:team/app:pull", basic("alice", "wrong"), 401),
    ],
)
async def test_docker_pulls_without_a_login_and_pushes_with_one(
    htpasswd: Path, method: str, scope: str, login: str, status: int
) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        path = "/v2/team/app/x"
        assert await _like_docker(registry, method, path, scope, login) == status


async def test_docker_login_is_told_whether_the_password_is_right(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        assert await _like_docker(registry, "GET", "/v2/", "", basic("bob", "bob-secret")) == 200
        assert await _like_docker(registry, "GET", "/v2/", "", basic("bob", "wrong")) == 401
        assert await _like_docker(registry, "GET", "/v2/", "") == 200


async def test_the_token_endpoint_answers_in_the_form_clients_read(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        body = (await registry.client.get("/v2/token")).json()
        assert body.keys() == {"token", "access_token", "expires_in", "issued_at", "scope"}
        assert body["token"] == body["access_token"]
        assert body["expires_in"] >= 60
        assert body["issued_at"] == "2027-01-15T08:00:00Z"


FORM = {
    "grant_type": "password",
    "service": "longshore",
    "client_id": "containerd-client",
    "scope": "repository:private/x:pull,push repository:public/y:pull,push",
    "username": "alice",
    "password": "alice-secret",
}


async def test_a_form_gets_the_same_token_as_a_login_in_the_header(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, RULES) as registry:
        response = await registry.client.post("/v2/token", data=FORM)
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        body = response.json()
        assert body["scope"] == "repository:private/x:pull,push repository:public/y:pull"
        assert body["expires_in"] == 300
        assert body["issued_at"] == "2027-01-15T08:00:00Z"
        assert "refresh_token" not in body
        assert registry.exchanges[-1].user == "alice"
        token = f"Bearer {body['access_token']}"
        for path, status in [("private/x", 200), ("public/y", 403)]:
            reply = await registry.ask("PUT", f"/v2/{path}/x", authorization=token)
            assert reply.status_code == status


async def test_a_form_gets_a_token_of_a_registry_that_is_read_only(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL, read_only=True) as registry:
        assert (await registry.client.post("/v2/token", data=FORM)).status_code == 200


async def test_a_user_and_password_of_any_characters_travel_in_a_form(htpasswd: Path) -> None:
    edit(htpasswd, new=f"zoë+1:{hash_password('pä:ss&=+%'.encode(), 4)}\n".encode())
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        form = {**FORM, "username": "zoë+1", "password": "pä:ss&=+%"}
        assert (await registry.client.post("/v2/token", data=form)).status_code == 200
        assert registry.exchanges[-1].user == "zoë+1"


async def test_a_form_with_a_wrong_password_is_refused_and_slows_the_next(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        for number in range(5):
            form = {**FORM, "password": f"wrong{number}"}
            response = await registry.client.post("/v2/token", data=form)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == 'Basic realm="Registry Realm"'
            assert "wrong" + str(number) not in response.text
        response = await registry.client.post("/v2/token", data={**FORM, "password": "x"})
        assert response.status_code == 429


async def test_a_refresh_token_is_refused_with_what_to_do(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        form = {
            "grant_type": "refresh_token",
            "service": "longshore",
            "refresh_token": "of-another",
        }
        response = await registry.client.post("/v2/token", data=form)
        assert response.status_code == 400
        (error,) = response.json()["errors"]
        assert error["detail"] == {"error": "unsupported_grant_type"}
        assert "no refresh tokens" in error["message"]
        assert "docker login registry.example" in error["message"]
        assert "of-another" not in response.text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "grant_type is missing; to ask without a login use GET"),
        (b"grant_type=client_credentials", "'client_credentials' is not supported; use password"),
        (b"grant_type=password&username=alice", "password is missing"),
        (b"grant_type=password&username=&password=x", "username is missing"),
        (b"grant_type=password&username=a&username=b&password=x", "username is given more than"),
        (b"grant_type=password&username=a:b&password=x", "'a:b' has a colon"),
        (b"grant_type=password&username=%ff&password=x", "not a form of at most 200 fields"),
        (b"\xff=x", "not a form of at most 200 fields"),
        (b"a=b&" * 201, "not a form of at most 200 fields"),
        (b"scope=" + b"x" * 65536, "has more than 65536 bytes"),
    ],
)
async def test_a_form_that_cannot_be_answered_is_told_why(
    htpasswd: Path, body: bytes, said: str
) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        kind = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        response = await registry.client.post("/v2/token", content=body, headers=kind)
        assert response.status_code == 400
        assert said in response.json()["errors"][0]["message"]


async def test_a_token_request_in_another_form_is_refused(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        response = await registry.client.post("/v2/token", json=FORM)
        assert response.status_code == 400
        assert "not 'application/json'" in response.json()["errors"][0]["message"]


async def test_the_token_endpoint_refuses_what_is_no_login(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        for value in (basic("alice", "no"), "Basic !", "Digest x", "Bearer x"):
            response = await registry.ask("GET", "/v2/token", authorization=value)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == 'Basic realm="Registry Realm"'
            assert response.json()["errors"][0]["code"] == "UNAUTHORIZED"


async def test_guessing_at_the_token_endpoint_gets_slower_too(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        for number in range(5):
            await registry.ask("GET", "/v2/token", authorization=basic("bob", f"{number}"))
        response = await registry.ask("GET", "/v2/token", authorization=basic("bob", "x"))
        assert response.status_code == 429
        response = await registry.ask("GET", "/v2/", authorization=basic("bob", "y"))
        assert response.status_code == 429


async def test_a_token_holds_what_was_asked_and_allowed_and_no_more(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, RULES) as registry:
        asked = "repository:private/x:pull,push,delete repository:public/y:pull,push"
        for login, private, public, other in [
            ("", 401, 200, 401),
            (basic("alice", "alice-secret"), 200, 200, 403),
            (basic("bob", "bob-secret"), 403, 200, 403),
            (basic("ci", "ci-secret"), 200, 200, 401),
        ]:
            token = await _token(registry, asked, authorization=login)
            statuses = [
                (await registry.ask("GET", path, authorization=token)).status_code
                for path in ("/v2/private/x/x", "/v2/public/y/x", "/v2/other/x")
            ]
            assert statuses == [private, public, other]


async def test_a_token_for_too_little_is_answered_with_what_to_ask_for(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        token = await _token(
            registry, "repository:a:pull", authorization=basic("alice", "alice-secret")
        )
        response = await registry.ask("PUT", "/v2/a/x", authorization=token)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == (
            'Bearer realm="https://registry.example/v2/token",service="longshore",'
            'scope="repository:a:pull,push",error="insufficient_scope"'
        )


async def test_the_catalog_is_for_users_and_asked_for_by_scope(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        for login, status in [("", 401), (basic("bob", "bob-secret"), 200)]:
            token = await _token(registry, "registry:catalog:*", authorization=login)
            response = await registry.ask("GET", "/v2/_catalog", authorization=token)
            assert response.status_code == status


async def test_a_star_asks_for_every_action(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        token = await _token(registry, "repository:a:*", authorization=basic("bob", "bob-secret"))
        for method in ("GET", "PUT", "DELETE"):
            assert (await registry.ask(method, "/v2/a/x", authorization=token)).is_success


async def test_a_password_is_taken_beside_tokens(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        alice = basic("alice", "alice-secret")
        assert (await registry.ask("PUT", "/v2/a/x", authorization=alice)).status_code == 200


async def test_the_token_of_one_process_opens_all_that_share_the_secret(htpasswd: Path) -> None:
    auth = {"htpasswd": {"path": htpasswd}}
    async with serving(auth, PULL) as one, serving(auth, PULL) as two:
        token = await _token(one, authorization=basic("bob", "bob-secret"))
        assert (await two.ask("GET", "/v2/", authorization=token)).json()["user"] == "bob"
        async with serving(auth, PULL, secret=b"another registry") as stranger:
            response = await stranger.ask("GET", "/v2/", authorization=token)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].endswith('error="invalid_token"')


async def test_a_token_ends_and_yet_finishes_the_upload_of_its_user(htpasswd: Path) -> None:
    clock = Clock()
    async with serving({"htpasswd": {"path": htpasswd}}, PULL, clock=clock) as registry:
        bob = basic("bob", "bob-secret")
        token = await _token(registry, "repository:a:pull,push", authorization=bob)
        clock.advance(3600)
        response = await registry.ask("PUT", "/v2/a/x", authorization=token)
        assert response.status_code == 401
        assert "expired" in response.text
        response = await registry.ask("PUT", "/v2/a/x", authorization=token, x_upload_owner="bob")
        assert response.json() == {"user": "bob", "expired": True}
        response = await registry.ask("PUT", "/v2/a/x", authorization=token, x_upload_owner="alice")
        assert response.status_code == 401


@pytest.mark.parametrize("change", ["removed", "new password"])
async def test_a_token_ends_with_its_user_or_the_password(htpasswd: Path, change: str) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        token = await _token(registry, authorization=basic("bob", "bob-secret"))
        anonymous = await _token(registry, "repository:a:pull")
        assert (await registry.ask("GET", "/v2/", authorization=token)).status_code == 200
        edit(htpasswd, b"bob:", b"#")
        if change == "new password":
            edit(htpasswd, b"alice:", b"bob:")
        registry.clock.advance(1.1)
        response = await registry.ask("GET", "/v2/", authorization=token)
        assert response.status_code == 401
        assert "was removed or has a new password" in response.text
        response = await registry.ask("GET", "/v2/a/x", authorization=anonymous)
        assert response.status_code == 200


async def test_tokens_that_somebody_else_made_are_refused(htpasswd: Path) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        own: dict[str, Any] = {"iss": "longshore", "aud": "longshore", "sub": "alice"}
        unsigned = f"{segment({'alg': 'none'})}.{segment(claims(**own))}."
        for forged in (
            unsigned,
            sign(claims(**own)),
            sign(claims(**own), header={"kid": "longshore"}),
            sign(claims(**own), key="shared", algorithm="HS256", header={"kid": "longshore"}),
        ):
            response = await registry.ask("PUT", "/v2/a/x", authorization=f"Bearer {forged}")
            assert response.status_code == 401


@pytest.mark.parametrize(
    ("options", "headers", "realm"),
    [
        ({}, {}, "https://registry.example/v2/token"),
        ({"prefix": "/reg/"}, {}, "https://registry.example/reg/v2/token"),
        (
            {"prefix": "/reg", "host": "https://outside.example:5000/"},
            {},
            "https://outside.example:5000/reg/v2/token",
        ),
        ({}, {"host": "other:5000"}, "https://other:5000/v2/token"),
    ],
)
async def test_the_challenge_points_to_where_the_client_reached_us(
    htpasswd: Path, options: dict[str, Any], headers: dict[str, str], realm: str
) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL, **options) as registry:
        response = await registry.ask("GET", "/v2/", **headers)
        assert f'realm="{realm}"' in response.headers["www-authenticate"]


async def test_behind_a_proxy_that_ends_tls_the_token_endpoint_is_named_with_https(
    htpasswd: Path,
) -> None:
    async with serving({"htpasswd": {"path": htpasswd}}, PULL) as registry:
        for proto, scheme in [("", "http"), ("https", "https"), ("gopher", "http")]:
            headers = {"x-forwarded-proto": proto} if proto else {}
            response = await registry.client.get("http://registry.example/v2/", headers=headers)
            realm = f'realm="{scheme}://registry.example/v2/token"'
            assert realm in response.headers["www-authenticate"]


async def test_a_token_is_opened_only_by_the_secret_that_signed_it() -> None:
    clock = Clock()
    issuer = TokenIssuer(SharedSecret(SECRET), clock=clock)
    scopes: Scopes = {("repository", "a"): (Action.PULL,)}
    token = (await issuer.issue(ANONYMOUS, "", scopes))["token"]
    assert (await issuer.verify(token)).rights == {("repository", "a"): frozenset({"pull"})}
    with pytest.raises(InvalidToken, match="signature is wrong"):
        await TokenIssuer(SharedSecret(b"other"), clock=clock).verify(token)


@pytest.mark.parametrize(
    ("values", "scopes"),
    [
        ([], {}),
        (["repository:a:pull"], {("repository", "a"): ("pull",)}),
        (["repository:a:pull,push,pull"], {("repository", "a"): ("pull", "push")}),
        (
            ["repository:a:pull repository:b:push", "repository:a:push"],
            {("repository", "a"): ("pull", "push"), ("repository", "b"): ("push",)},
        ),
        (["repository:host:5000/a:pull"], {("repository", "host:5000/a"): ("pull",)}),
        (["repository(plugin):a:pull"], {("repository", "a"): ("pull",)}),
        (["registry:catalog:*"], {("registry", "catalog"): ("*",)}),
        (["repository:a:*"], {("repository", "a"): ("pull", "push", "delete")}),
        (["repository:a:fly"], {("repository", "a"): ()}),
        (["", "a", "a:b", ":::", "repository::pull"], {}),
    ],
)
async def test_scopes_are_read_as_the_token_specification_has_them(
    values: list[str], scopes: dict[tuple[str, str], tuple[str, ...]]
) -> None:
    assert parse_scopes(values) == scopes


@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_scopes_are_read_without_an_error(values: list[str]) -> None:
    for (kind, name), actions in parse_scopes(values).items():
        assert kind is not None
        assert name
        assert set(actions) <= set(Action)
