"""Logins that no service of the tests gives: version 2, and answers that make no sense."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr, ValidationError

from longshore.storage.driver import StorageUnavailable
from longshore.storage.swift_login import Access, login
from longshore.storage.swift_settings import SwiftSettings

pytestmark = pytest.mark.anyio

#: As in the manual of the Identity API, version 2.0.
ANSWER = {
    "access": {
        "token": {"id": "the-token", "expires": "2040-01-31T15:30:58Z"},
        "serviceCatalog": [
            {"type": "compute", "endpoints": [{"region": "one", "publicURL": "http://c/v2"}]},
            {
                "type": "object-store",
                "endpoints": [
                    {
                        "region": "one",
                        "publicURL": "https://one.example.com/v1/AUTH_t",
                        "internalURL": "http://10.0.0.1/v1/AUTH_t/",
                    },
                    {"region": "two", "publicURL": "https://two.example.com/v1/AUTH_t"},
                ],
            },
        ],
    }
}


def settings(**more: Any) -> SwiftSettings:
    given = {"authurl": "u", "container": "c", "username": "u", "password": SecretStr("p")}
    return SwiftSettings(**{**given, **more})


@asynccontextmanager
async def answering(path: str, answer: object, asked: list[Any]) -> AsyncIterator[str]:
    """A server that gives one answer; its URL."""

    async def handle(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response(answer)

    application = web.Application()
    application.router.add_post(path, handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def logged_in(answer: object, asked: list[Any], **more: Any) -> Access:
    async with (
        answering("/v2.0/tokens", answer, asked) as url,
        aiohttp.ClientSession() as session,
    ):
        return await login(session, settings(authurl=f"{url}/v2.0/", **more))


async def test_version_2_gives_the_first_region_and_its_public_address() -> None:
    asked: list[Any] = []
    access = await logged_in(ANSWER, asked, tenant="registry")
    assert access.token == "the-token"
    assert access.url == access.public == "https://one.example.com/v1/AUTH_t"
    assert asked == [
        {
            "auth": {
                "passwordCredentials": {"username": "u", "password": "p"},
                "tenantName": "registry",
            }
        }
    ]


async def test_redirects_lead_to_the_public_address_of_a_service_used_by_its_internal_one() -> None:
    access = await logged_in(ANSWER, [], tenantid="t", endpointtype="internal")
    assert access.url == "http://10.0.0.1/v1/AUTH_t"
    assert access.public == "https://one.example.com/v1/AUTH_t"


async def test_a_region_without_such_an_address_is_told_with_those_that_there_are() -> None:
    with pytest.raises(StorageUnavailable, match=r"internal address in region two.*: one, two"):
        await logged_in(ANSWER, [], region="two", endpointtype="internal")


@pytest.mark.parametrize("answer", [{}, [], "text", {"access": {"token": {}}}])
async def test_an_answer_of_something_else_is_told(answer: object) -> None:
    with pytest.raises(StorageUnavailable, match="does not answer as version 2 of the login does"):
        await logged_in(answer, [])


@pytest.mark.parametrize(
    ("authurl", "authversion", "version"),
    [
        ("http://s/auth/v1.0", 0, 1),
        ("http://s/v2.0", 0, 2),
        ("http://s/identity/v3", 0, 3),
        ("http://s/identity", 3, 3),
    ],
)
def test_the_url_says_which_version_it_is(authurl: str, authversion: int, version: int) -> None:
    assert settings(authurl=authurl, authversion=authversion).version == version


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"container": "a/b"}, "container is a name, without a slash"),
        ({"authurl": ""}, "authurl is empty"),
        ({"password": SecretStr("")}, "password is empty"),
        ({"username": ""}, "give either username and password, or an application credential"),
        ({"applicationcredentialid": "i"}, "go together"),
        (
            {"applicationcredentialid": "i", "applicationcredentialsecret": SecretStr("s")},
            "application credentials need authversion: 3",
        ),
    ],
)
def test_settings_that_cannot_work_are_told(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(**more)
