"""How tests describe the directories that run, and servers that do not do what they should."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from longshore.ldap.model import GroupSearch, LDAPServer, Trace
from tests.services import openldap, samba
from tests.services.certificates import Authority
from tests.services.openldap import OpenLDAP
from tests.services.samba import Samba

#: Seconds that a server may take in tests: short where it never answers.
SHORT = 0.5


def plain(server: OpenLDAP, authority: Authority, **changes: Any) -> LDAPServer:
    """OpenLDAP by StartTLS."""
    made = LDAPServer(
        name="plain",
        urls=(server.url,),
        base=openldap.PEOPLE,
        ca_file=authority.certificate,
        search_dn=openldap.SEARCH_DN,
        search_password=openldap.SEARCH_PASSWORD,
        filter="(objectClass=inetOrgPerson)",
        groups=GroupSearch(base=openldap.GROUPS, admins=f"cn=operators,{openldap.GROUPS}"),
    )
    return replace(made, **changes)


def domain(server: Samba, authority: Authority, **changes: Any) -> LDAPServer:
    """Active Directory over TLS."""
    made = LDAPServer(
        name="corp",
        urls=(server.tls_url,),
        base=samba.BASE,
        ca_file=authority.certificate,
        search_dn=samba.SEARCH,
        search_password=samba.PASSWORD,
        filter="(objectClass=user)",
        uid="sAMAccountName",
        groups=GroupSearch(
            base=samba.BASE, filter="(objectClass=group)", admins=f"CN=admins,{samba.USERS}"
        ),
    )
    return replace(made, **changes)


def asked(trace: Trace, word: str) -> list[str]:
    """What was asked of a server that has ``word`` in it."""
    return [query.what for query in trace.queries if word in query.what]


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """The URL of a server that does what ``handler`` does with each connection."""
    tasks: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def run() -> None:
            try:
                await handler(reader, writer)
            except OSError:
                pass
            finally:
                writer.transport.abort()

        tasks.append(asyncio.ensure_future(run()))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"ldap://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Accept, and say nothing."""
    await asyncio.sleep(3600)


async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a long answer, one byte after the other."""
    await reader.read(1)
    for byte in b"\x30\x84\x00\x01\x00\x00" + bytes(3600):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def enormous(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Announce four gigabytes."""
    await reader.read(1)
    writer.write(b"\x30\x84\xff\xff\xff\xff" + bytes(100_000))
    await asyncio.sleep(3600)


async def other_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a web server."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(3600)
