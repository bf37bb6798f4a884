"""Line breaks that would be headers, and hosts that replies would lead to (header injection, open redirects)."""

import json
from itertools import product
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.api.test_who_may import ROUTES
from tests.security.neighbours import REQUESTS, Ids, Neighbours, Request, by_name, filled
from tests.services.management import PASSWORD, management_of

pytestmark = pytest.mark.anyio

EVIL = "evil.test"
BREAKS = ("\r\nSet-Cookie: sid=evil", "\nX-Evil: 1", "\x85X-Evil: 1", "\u2028X-Evil: 1")
PLACES = ("//evil.test/", "https://evil.test/", "/\\evil.test", "javascript:alert(1)")


def _assert_harmless(reply: httpx.Response, what: Any) -> None:
    for name, value in reply.headers.raw:
        for part in (name, value):
            assert not any(byte < 0x20 or byte == 0x7F for byte in part), (what, name, value)
        assert b"evil" not in name.lower(), what
    assert not [one for one in reply.headers.get_list("set-cookie") if "sid=evil" in one], what
    location = reply.headers.get("location", "/")
    assert not location.startswith(("//", "/\\")), what
    assert httpx.URL(location).host in ("", "registry.test"), (what, location)


async def test_no_value_of_a_request_becomes_a_header_or_a_place(at_home: Neighbours) -> None:
    management, ids = at_home.management, at_home.emil.ids
    texts = ("".join(BREAKS), "\x00", *PLACES[:2])
    for name, text in product(ROUTES, texts):
        method = name.split(" ", 1)[0]
        queries = [found.alias for found in ROUTES[name].dependant.query_params]
        parts: dict[str, Any] = {
            "params": dict.fromkeys([*queries, "q", "sort", "redirect_url"], text),
            "headers": {"X-Request-Id": text.encode()},
        }
        hostile: Ids = {one: quote(f"x{text}", safe="") for one in ids}
        places = (hostile, {**ids, "project": ids["name"]})
        for values in places if method in ("GET", "HEAD") else places[:1]:
            reply = await management.ask("admin", method, filled(name, values), **parts)
            assert reply.status_code < 500, (name, reply.text)
            _assert_harmless(reply, (name, text))


async def test_a_text_with_nul_is_refused_whatever_the_database(neighbours: Neighbours) -> None:
    management, ids = neighbours.management, neighbours.emil.ids
    for name in ROUTES:
        body = REQUESTS.get(name, Request()).json
        if body and name != "PUT /configurations":
            method, path = name.split(" ", 1)[0], filled(name, by_name(name, ids))
            for text in ("a\0b", "a\ud800b"):
                values = {
                    key: text if isinstance(value, str) else value for key, value in body.items()
                }
                content = json.dumps({**values, "more": text})
                headers = {"Content-Type": "application/json"}
                reply = await management.ask(
                    "admin", method, path, content=content, headers=headers
                )
                assert reply.status_code < 500, (name, reply.text)
                if "\0" in text:
                    assert (reply.status_code, "NUL" in reply.text) == (400, True), name
    # A backslash and what follows it is no NUL.
    reply = await management.ask(
        "admin", "POST", "/usergroups", json={"group_name": "a\\u0000b", "group_type": 2}
    )
    assert reply.status_code == 201, reply.text
    for path in ("/users/current", "/v2/", "/service/token"):
        assert (await management.ask("do\0ra", "GET", path)).status_code == 401, path
    form = {"grant_type": "password", "username": "do\0ra", "password": "x", "client_id": "\0"}
    assert (await management.ask("", "POST", "/service/token", data=form)).status_code == 400
    form |= {"username": "dora", "password": PASSWORD, "access_type": "offline", "service": "\0"}
    given = await management.ask("", "POST", "/service/token", data=form)
    assert given.is_success, given.text


async def test_what_is_made_is_named_by_a_path_whatever_its_name(at_home: Neighbours) -> None:
    management = at_home.management
    for text in (*BREAKS, *PLACES, "..", "%0d%0aSet-Cookie:%20sid=evil"):
        reply = await management.ask(
            "dora",
            "POST",
            "/projects",
            json={"project_name": text},
            headers={"X-Resource-Name-In-Location": "true"},
        )
        assert reply.status_code == 400, text
        _assert_harmless(reply, text)


async def test_a_host_that_a_client_invents_is_in_no_reply(
    database_url: str, tmp_path: Any
) -> None:
    sections: dict[str, Any] = {"http": {"host": "http://registry.test"}}
    async with management_of(f"sqlite:///{tmp_path}/db", tmp_path, **sections) as management:
        for header in ({"Host": EVIL}, {"X-Forwarded-Host": EVIL}, {"Forwarded": f"host={EVIL}"}):
            for by, method, path in (
                ("", "GET", "/v2/"),
                ("", "GET", "/v2/private/app/tags/list"),
                ("admin", "POST", "/v2/library/app/blobs/uploads/"),
                ("admin", "GET", "/v2/_catalog?n=1"),
                ("admin", "GET", "/users?page_size=1"),
                ("admin", "POST", "/projects"),
                ("", "GET", "/c/log_out"),
            ):
                body = {"project_name": f"p{len(str(header))}"} if path == "/projects" else None
                reply = await management.ask(by, method, path, headers=header, json=body)
                assert reply.status_code in (200, 201, 202, 401), (path, reply.text)
                assert EVIL not in str(reply.headers), (path, header)
