"""Whatever bytes a server sends, what comes of it is an answer or a sentence."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest
import sansldap
from anyio.abc import ByteStream
from hypothesis import given
from hypothesis import strategies as st

from longshore.ldap.connection import Connection, Entry
from longshore.ldap.model import DirectoryRefused, DirectoryUnavailable, parse_url


class Canned(ByteStream):
    """A server that has said everything before it was asked."""

    def __init__(self, data: bytes) -> None:
        self._data = deque([data] if data else [])

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self._data:
            raise anyio.EndOfStream
        data = self._data.popleft()
        if len(data) > max_bytes:
            self._data.appendleft(data[max_bytes:])
        return data[:max_bytes]

    async def send(self, item: bytes) -> None: ...

    async def send_eof(self) -> None: ...

    async def aclose(self) -> None: ...

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {}


def valid(values: int = 3) -> bytes:
    """The answer to a search, as a server writes it."""
    server = sansldap.LDAPServer()
    client = sansldap.LDAPClient()
    client.search_request("dc=lan")
    server.receive(client.data_to_send())
    server.search_result_entry(
        1,
        "uid=alice,dc=lan",
        [sansldap.PartialAttribute("uid", [b"alice"] * values)],
    )
    server._outgoing_buffer.extend(
        sansldap.SearchResultReference(1, [], ["ldap://elsewhere"]).pack(server._packing_options)
    )
    server._outgoing_buffer.extend(
        sansldap.SearchResultDone(
            1, [], sansldap.LDAPResult(sansldap.LDAPResultCode.SUCCESS, "", "", None)
        ).pack(server._packing_options)
    )
    return server.data_to_send()


def asked(data: bytes) -> list[Entry] | str:
    """What a search finds when this is the answer; the sentence when it is none."""

    async def search() -> list[Entry]:
        connection = Connection(Canned(data), parse_url("ldap://test"))
        return await connection.search("dc=lan", "subtree", None, ("uid",), limit=10)

    try:
        return anyio.run(search)
    except (DirectoryUnavailable, DirectoryRefused) as error:
        return str(error)


def test_an_answer_is_read_and_references_are_passed_over() -> None:
    assert asked(valid()) == [Entry("uid=alice,dc=lan", {"uid": (b"alice",) * 3})]


def test_an_answer_that_ends_early_is_none() -> None:
    whole = valid()
    for end in range(len(whole)):
        assert isinstance(asked(whole[:end]), str)


@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    asked(data)


@given(st.data())
def test_any_damage_to_an_answer_is_survived(data: st.DataObject) -> None:
    damaged = bytearray(valid())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    asked(bytes(damaged))


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x80",
        b"\x30\xff" + b"\xff" * 127,
        b"\x30\x84\x7f\xff\xff\xff",
        b"\x31\x00",
        b"\x30\x00",
        # A request for a search whose filter is nested far too deep.
        b"\x30\x82\x10\x00" + b"\xa2\x82\x0f\xf0" * 1024,
    ],
)
def test_lengths_and_depths_that_cannot_be_are_not_believed(data: bytes) -> None:
    assert isinstance(asked(data), str)
