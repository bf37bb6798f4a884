"""Servers that are not there, or do not do what they should."""

import asyncio
import time
from dataclasses import replace

import pytest

from longshore.ldap import breaker as breakers
from longshore.ldap.breaker import Breaker
from longshore.ldap.directory import Directory
from longshore.ldap.model import DirectoryUnavailable, LDAPServer, Person, Trace
from tests.ldap.servers import (
    SHORT,
    Handler,
    asked,
    enormous,
    listening,
    other_protocol,
    plain,
    silent,
    trickling,
)
from tests.services.certificates import Authority
from tests.services.openldap import PASSWORD_END, OpenLDAP
from tests.services.processes import free_port

pytestmark = pytest.mark.anyio


def server(*urls: str, start_tls: bool = False) -> LDAPServer:
    return LDAPServer("broken", urls, "dc=test", start_tls=start_tls, timeout=SHORT)


@pytest.mark.parametrize("handler", [silent, trickling], ids=["silent", "trickling"])
@pytest.mark.parametrize("how", ["plain", "starttls", "ldaps"])
async def test_a_server_that_never_finishes_an_answer_holds_nobody_up(
    handler: Handler, how: str
) -> None:
    async with listening(handler) as url:
        if how == "ldaps":
            url = url.replace("ldap:", "ldaps:")
        directory = Directory(server(url, start_tls=how == "starttls"))
        began = time.monotonic()
        with pytest.raises(DirectoryUnavailable, match=r"gave no answer within 0\.5 s|TLS"):
            await directory.log_in("alice", "secret")
        assert time.monotonic() - began < 4 * SHORT


@pytest.mark.parametrize("handler", [enormous, other_protocol], ids=["enormous", "web"])
async def test_what_is_no_ldap_is_called_so_at_once(handler: Handler) -> None:
    async with listening(handler) as url:
        with pytest.raises(DirectoryUnavailable, match="does not speak LDAP"):
            await Directory(server(url)).log_in("alice", "secret")


async def test_who_hangs_up_is_named() -> None:
    async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with listening(hang_up) as url:
        with pytest.raises(DirectoryUnavailable, match=f"{url} ended the connection|reset"):
            await Directory(server(url)).log_in("alice", "secret")


async def test_nobody_there_is_said_at_once_and_left_alone_for_a_moment() -> None:
    now = 0.0
    url = f"ldap://127.0.0.1:{free_port()}"
    directory = Directory(server(url), lambda: now)
    with pytest.raises(DirectoryUnavailable, match="cannot be reached"):
        await directory.log_in("alice", "secret")
    trace = Trace()
    with pytest.raises(DirectoryUnavailable, match="asked again in 2 s"):
        await directory.log_in("alice", "secret", trace)
    assert asked(trace, "connect")
    assert "left alone" in trace.queries[0].result
    now = breakers.FIRST
    with pytest.raises(DirectoryUnavailable, match=r"cannot be reached(?!.*asked again)"):
        await directory.log_in("alice", "secret")


async def test_an_unknown_host_is_an_unreachable_one() -> None:
    with pytest.raises(DirectoryUnavailable, match=r"ldap://nowhere\.invalid:389"):
        await Directory(server("ldap://nowhere.invalid")).ping()


async def test_a_hanging_server_costs_its_time_once() -> None:
    async with listening(silent) as url:
        directory = Directory(server(url))
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(DirectoryUnavailable):
                await directory.log_in("alice", "secret")
        assert time.monotonic() - began < 4 * SHORT


async def test_many_at_once_wait_together() -> None:
    async with listening(silent) as url:
        directory = Directory(server(url))
        began = time.monotonic()
        tries = [directory.log_in(f"user{i}", "secret") for i in range(100)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert all(isinstance(result, DirectoryUnavailable) for result in results)
        assert time.monotonic() - began < 4 * SHORT


@pytest.mark.service
async def test_the_next_host_of_a_directory_answers_for_one_that_hangs(
    openldap: OpenLDAP, authority: Authority
) -> None:
    async with listening(silent) as url:
        both = plain(openldap, authority, urls=(url, openldap.url), timeout=SHORT)
        directory = Directory(replace(both, timeout=2 * SHORT))
        first, second = Trace(), Trace()
        assert isinstance(await directory.log_in("bob", f"bob{PASSWORD_END}", first), Person)
        assert isinstance(await directory.log_in("bob", f"bob{PASSWORD_END}", second), Person)
        assert "left alone" in second.queries[0].result


def test_pauses_grow_to_a_bound_and_one_login_tries_for_all() -> None:
    now = 0.0
    breaker = Breaker(lambda: now)
    pauses = []
    for _ in range(10):
        assert breaker.admits(5.0)
        breaker.failed("away")
        breaker.failed("away")  # who waited with it
        pauses.append(breaker.pause())
        assert not breaker.admits(5.0)
        now += breaker.pause()
    assert pauses[:3] == [2.0, 4.0, 8.0]
    assert max(pauses) == pauses[-1] == breakers.LONGEST
    assert breaker.admits(5.0)
    assert not breaker.admits(5.0)
    breaker.succeeded()
    assert breaker.admits(5.0)
    assert breaker.admits(5.0)
