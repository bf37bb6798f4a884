"""Secrets: in no log, in no answer of the API, and in no row that is not encrypted or hashed."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import anyio
import pytest
from sqlalchemy import MetaData

from tests.api.test_who_may import ROUTES
from tests.security.neighbours import ask, settled
from tests.services.browser import Browser
from tests.services.management import PASSWORD, management_of
from tests.services.processes import free_port

pytestmark = pytest.mark.anyio

KEY: Final = base64.b64encode(b"a key of thirty-two bytes, no less"[:32]).decode()
CONFIGURED: Final[Mapping[str, str]] = {
    "http.secret": "canary-of-http",
    "directory": "canary-of-directory",
    "provider": "canary-of-provider",
    "endpoint": "canary-of-endpoint",
    "encryption key": KEY,
}
#: Passwords and what stands for them, as clients send it.
WRONG: Final = "Canary1wrong"
CHOSEN: Final = "Canary2chosen"
SET: Final = {"ldap_search_password": "canary-set-ldap", "oidc_client_secret": "canary-set-oidc"}


def sections() -> dict[str, Any]:
    """A configuration with a secret wherever there can be one."""
    away = f"127.0.0.1:{free_port()}"
    return {
        "http": {"secret": CONFIGURED["http.secret"]},
        "notifications": {
            "endpoints": [
                {
                    "name": "deploy",
                    "url": f"http://{away}/events",
                    "headers": {"Authorization": [CONFIGURED["endpoint"]]},
                    "timeout": "1s",
                    "threshold": 1,
                    "backoff": "60s",
                }
            ]
        },
        "longshore": {
            "encryption": {"keys": [KEY]},
            "ldap": {
                "servers": [
                    {
                        "name": "plain",
                        "url": f"ldap://{away}",
                        "searchdn": "cn=search",
                        "searchpassword": CONFIGURED["directory"],
                        "basedn": "dc=test",
                        "timeout": "1s",
                    }
                ]
            },
            "oidc": {
                "providers": [
                    {
                        "name": "company",
                        "issuer": f"http://{away}",
                        "clientid": "registry",
                        "clientsecret": CONFIGURED["provider"],
                    }
                ]
            },
        },
    }


def everything(connection: Any) -> str:
    """All that the database holds, as text."""
    found = MetaData()
    found.reflect(connection)
    return "\n".join(
        f"{name}: {dict(row)!r}"
        for name, table in found.tables.items()
        for row in connection.execute(table.select()).mappings()
    )


async def test_no_secret_is_in_a_log_in_an_answer_or_readable_in_the_database(
    database_url: str, tmp_path: Any, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    said: list[str] = []
    async with management_of(database_url, tmp_path, **sections()) as management:
        caplog.set_level("DEBUG")
        people = await settled(management)
        ids = people.emil.ids
        browser = Browser(management)
        await browser.log_in("emil")
        token = await management.ask("emil", "GET", "/service/token?offline_token=true")
        body = token.json()
        secrets = [
            *CONFIGURED.values(),
            *SET.values(),
            PASSWORD,
            WRONG,
            CHOSEN,
            base64.b64encode(f"emil:{PASSWORD}".encode()).decode(),
            base64.b64encode(f"emil:{WRONG}".encode()).decode(),
            browser.cookies["sid"],
            browser.token,
            body["token"],
            body["refresh_token"],
        ]

        async def keep(reply: Any) -> None:
            said.append(f"{reply.text} {dict(reply.headers)}")

        await keep(await management.ask("admin", "PUT", "/configurations", json=SET))
        await keep(await management.ask("emil", "GET", "/users/current", password=WRONG))
        await keep(await management.ask("emil", "GET", "/v2/", password=WRONG))
        await keep(await Browser(management).log_in("emil", WRONG))
        for text in (body["token"][:-4], body["refresh_token"], WRONG):
            for path in ("/v2/_catalog", "/users/current"):
                bearer = {"Authorization": f"Bearer {text}"}
                await keep(await management.ask("", "GET", path, headers=bearer))
            form = {"grant_type": "refresh_token", "refresh_token": f"{text}x", "service": "x"}
            await keep(await management.ask("", "POST", "/service/token", data=form))
        used = {"Authorization": f"Bearer {body['token']}"}
        await keep(await management.ask("", "GET", "/v2/", headers=used))
        await keep(await management.ask("admin", "POST", "/ldap/ping", json={}))
        for name in ROUTES:
            if name.startswith("GET") and "log_out" not in name:
                for by in ("admin", "emil"):
                    await keep(await ask(management, by, name, ids))
            if ROUTES[name].body_field is not None:
                # A body that does not fit is told of without what is in it.
                broken = {"password": [WRONG], "new_password": {"x": CHOSEN}, "url": [WRONG]}
                await keep(await ask(management, "admin", name, ids, json=broken))
        path = f"/users/{ids['user_id']}/password"
        change = {"old_password": PASSWORD, "new_password": CHOSEN}
        await keep(await management.ask("emil", "PUT", path, json=change))
        new = {"username": "new", "email": "n@x.test", "realname": "N", "password": CHOSEN}
        await keep(await management.ask("admin", "POST", "/users", json=new))
        stored = ""
        with anyio.fail_after(30):
            while "audit_log: " not in stored:
                await anyio.sleep(0.1)
                stored = await management.database.read(everything)
    captured = capfd.readouterr()
    log = f"{caplog.text}\n{captured.out}\n{captured.err}"
    answers = "\n".join(said)
    assert "emil" in log
    assert "emil" in stored
    for secret in secrets:
        assert secret not in log, secret
        assert secret not in answers, secret
        assert secret not in stored, secret
    for hashed in re.findall(r"\$argon2id\$[^' ]{40,}", stored):
        assert hashed not in answers
        assert hashed not in log


#: Names of fields that hold a secret.
_SECRET: Final = re.compile(
    r"password|passwd|secret|token|credential|private|seal|salt|hash|api_?key", re.IGNORECASE
)
#: Fields of such names that hold none.
_HARMLESS: Final = frozenset({"private_repo_count", "private_project_count"})


#: Replies that show a secret, which is made there and never told again.
SHOWN_ONCE: Final[Mapping[str, set[str]]] = {
    "POST /api/v2.0/robots": {"secret"},
    "PATCH /api/v2.0/robots/{robot_id}": {"secret"},
    "POST /api/longshore/v1/tokens": {"token"},
    "POST /api/longshore/v1/tokens/{token_id}/rotate": {"token"},
    "POST /api/longshore/v1/users/current/second-factor": {"secret"},
}


def _fields(schema: Any, document: Any, seen: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """Every field of a shape, and of the shapes within it."""
    if isinstance(schema, list):
        for one in schema:
            yield from _fields(one, document, seen)
    elif isinstance(schema, dict):
        reference = schema.get("$ref", "")
        if reference and reference not in seen:
            name = reference.rpartition("/")[2]
            yield from _fields(
                document["components"]["schemas"][name], document, seen | {reference}
            )
        for name, value in schema.get("properties", {}).items():
            yield name, value
        for value in schema.values():
            yield from _fields(value, document, seen)
        for value in schema.get("properties", {}).values():
            yield from _fields(value, document, seen)


async def test_fields_of_secrets_are_written_and_never_read(embedded: Any) -> None:
    document = (await embedded.ask("", "GET", "/openapi.json")).json()
    written = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, reply in operation["responses"].items():
                shown = {
                    name for name, _ in _fields(reply.get("content", {}), document, frozenset())
                }
                secret = {name for name in shown if _SECRET.search(name)} - _HARMLESS
                assert secret <= SHOWN_ONCE.get(f"{method.upper()} {path}", set()), (path, status)
            body = operation.get("requestBody", {}).get("content", {})
            for name, field in _fields(body, document, frozenset()):
                if _SECRET.search(name):
                    written += 1
                    assert field.get("writeOnly") or field.get("format") == "password", (path, name)
    assert written
