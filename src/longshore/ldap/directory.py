"""One configured directory: log in, find people and groups, say whether it works."""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from sansldap import LDAPFilter

from longshore.ldap import filters
from longshore.ldap.breaker import Breaker
from longshore.ldap.connection import connected
from longshore.ldap.conversation import Conversation, Kind
from longshore.ldap.model import (
    Address,
    DirectoryRefused,
    DirectoryUnavailable,
    Group,
    LDAPServer,
    Person,
    Reason,
    Refusal,
    Trace,
    parse_url,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Told of each request: the server's name, ``answered``, ``refused`` or ``unavailable``, seconds, and what was wrong.
Observe = Callable[[str, str, float, str], None]


def unobserved(server: str, outcome: str, seconds: float, problem: str) -> None:
    """Nobody is told."""


#: Connections to one directory at a time, of one process.
_AT_ONCE: Final = 16
_LONGEST_NAME: Final = 255
#: Seconds for which what a server said of itself is believed.
_KIND_LASTS: Final = 600.0


class Directory:
    """Every method but the constructor raises DirectoryUnavailable when no URL answers within the
    server's time, and DirectoryRefused when one answers that the configuration does not fit."""

    def __init__(
        self,
        server: LDAPServer,
        monotonic: Callable[[], float] = time.monotonic,
        observe: Observe = unobserved,
    ) -> None:
        """Raises ValueError for a URL or a filter that is none."""
        filters.parse(server.filter)
        filters.parse(server.groups.filter)
        self.server = server
        self._now = monotonic
        self._observe = observe
        self._addresses = [(parse_url(url), Breaker(monotonic)) for url in server.urls]
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._context: ssl.SSLContext | None = None
        self._kind: tuple[float, Kind] | None = None
        self._short_name = ""

    async def log_in(
        self, name: str, password: str, trace: Trace | None = None
    ) -> Person | Refusal:
        """Who ``name`` is, with groups, if the password is theirs."""
        if not password:
            return Refusal(Reason.EMPTY, Reason.EMPTY.value)
        if not _sensible(name) or "\0" in password:
            return Refusal(Reason.UNREADABLE, Reason.UNREADABLE.value)

        async def work(conversation: Conversation) -> Person | Refusal:
            kind = await self._known_kind(conversation)
            found = await self._find(conversation, kind, name)
            if isinstance(found, Refusal):
                # As many round trips as for somebody who is there, with a password of nobody's.
                await conversation.bind(f"cn=nobody,{self.server.base}", "no password of anybody")
                return found
            bound = await conversation.bind(found.dn, password)
            if not bound:
                return Refusal(Reason.REFUSED, bound.sentence)
            return await self._with_groups(conversation, kind, found)

        return await self._ask(work, trace or Trace())

    async def look_up(self, name: str, trace: Trace | None = None) -> Person | Refusal:
        """Who ``name`` is, with groups; nobody logs in."""
        if not _sensible(name):
            return Refusal(Reason.UNREADABLE, Reason.UNREADABLE.value)

        async def work(conversation: Conversation) -> Person | Refusal:
            kind = await self._known_kind(conversation)
            found = await self._find(conversation, kind, name)
            if isinstance(found, Refusal):
                return found
            groups, is_admin = await conversation.groups(found, kind)
            return replace(found, groups=groups, is_admin=is_admin)

        return await self._ask(work, trace or Trace())

    async def search_people(
        self, text: str, limit: int = 100, trace: Trace | None = None
    ) -> list[Person]:
        """People whose login name has ``text`` in it; without their groups."""
        wanted = filters.contains(self.server.uid, text[:_LONGEST_NAME])
        return await self._ask(lambda talk: talk.find(wanted, limit), trace or Trace())

    async def search_groups(
        self, name: str = "", dn: str = "", limit: int = 100, trace: Trace | None = None
    ) -> list[Group]:
        """The group of a DN, or groups whose name has ``name`` in it."""

        async def work(conversation: Conversation) -> list[Group]:
            if dn:
                found = await conversation.group(dn)
                return [] if found is None else [found]
            wanted = filters.contains(self.server.groups.name, name[:_LONGEST_NAME])
            return await conversation.find_groups(wanted, limit)

        return await self._ask(work, trace or Trace())

    async def ping(self, trace: Trace | None = None) -> None:
        """Connect, let the one who searches in, and look for anybody at all."""

        async def work(conversation: Conversation) -> None:
            await self._known_kind(conversation)
            await conversation.find(filters.contains(self.server.uid, ""), 1)

        await self._ask(work, trace or Trace())

    async def _find(self, conversation: Conversation, kind: Kind, name: str) -> Person | Refusal:
        wanted = await self._called(conversation, kind, name)
        found = await conversation.find(wanted, 2)
        usable = [person for person in found if person.uid]
        if len(usable) == 1:
            return usable[0]
        reason = Reason.AMBIGUOUS if usable else Reason.UNKNOWN
        return Refusal(reason, f"{reason.value} in {self.server.base!r}")

    async def _called(self, conversation: Conversation, kind: Kind, name: str) -> LDAPFilter:
        """The entry that a login name means: with Active Directory also ``user@realm`` and
        ``DOMAIN\\user``."""
        uid = self.server.uid
        given = filters.equal(uid, name)
        if not kind.active_directory:
            return given
        domain, backslash, user = name.partition("\\")
        if backslash and user and domain:
            self._short_name = self._short_name or await conversation.short_name(kind)
            # Another domain's user is not this one's of the same name.
            same = self._short_name.casefold() == domain.casefold()
            return filters.equal(uid, user) if same else given
        user, at, realm = name.rpartition("@")
        if not at:
            return given
        forms = [given, filters.equal("userPrincipalName", name)]
        if user and realm.casefold() == kind.realm:
            forms.append(filters.equal(uid, user))  # the form that every account has
        return filters.some(forms)

    async def _with_groups(self, conversation: Conversation, kind: Kind, found: Person) -> Person:
        search = self.server.groups
        if not (search.base or search.admins):
            return found
        await conversation.begin()  # whoever logs in need not have the right to read groups
        groups, is_admin = await conversation.groups(found, kind)
        return replace(found, groups=groups, is_admin=is_admin)

    async def _known_kind(self, conversation: Conversation) -> Kind:
        if self._kind is None or self._now() > self._kind[0]:
            self._kind = (self._now() + _KIND_LASTS, await conversation.kind())
        return self._kind[1]

    async def _ask(self, work: Callable[[Conversation], Awaitable[T]], trace: Trace) -> T:
        began, outcome, problem = time.perf_counter(), "answered", ""
        try:
            return await self._ask_any(work, trace)
        except (DirectoryUnavailable, DirectoryRefused) as error:
            outcome = "refused" if isinstance(error, DirectoryRefused) else "unavailable"
            problem = str(error)
            raise
        finally:
            self._observe(self.server.name, outcome, time.perf_counter() - began, problem)

    async def _ask_any(self, work: Callable[[Conversation], Awaitable[T]], trace: Trace) -> T:
        """``work`` with the first URL that answers."""
        problem = DirectoryUnavailable(f"LDAP server {self.server.name!r} has no URL")
        for address, breaker in self._addresses:
            if not breaker.admits(self.server.timeout):
                sentence = f"{breaker.reason}; asked again in {breaker.pause():.0f} s"
                trace.note("connect", str(address), f"left alone: {sentence}")
                problem = DirectoryUnavailable(sentence)
                continue
            try:
                answer = await self._ask_one(address, work, trace)
            except DirectoryUnavailable as error:
                breaker.failed(str(error))
                self._context = None  # the file of authorities may have changed
                logger.warning("LDAP server %s: %s", self.server.name, error)
                problem = error
            else:
                breaker.succeeded()
                return answer
        raise problem

    async def _ask_one(
        self, address: Address, work: Callable[[Conversation], Awaitable[T]], trace: Trace
    ) -> T:
        try:
            with anyio.fail_after(self.server.timeout):
                async with self._slots:
                    return await self._talk(address, work, trace)
        except TimeoutError as error:
            raise DirectoryUnavailable(
                f"{address} gave no answer within {self.server.timeout:g} s"
            ) from error

    async def _talk(
        self, address: Address, work: Callable[[Conversation], Awaitable[T]], trace: Trace
    ) -> T:
        server = self.server
        if self._context is None:
            self._context = await anyio.to_thread.run_sync(_context, server)
        how = "with TLS" if address.tls else "with StartTLS" if server.start_tls else "without TLS"
        async with AsyncExitStack() as stack:
            with trace.step(f"connect {how}", str(address)):
                connection = await stack.enter_async_context(
                    connected(address, self._context, start_tls=server.start_tls)
                )
            conversation = Conversation(connection, server, trace)
            await conversation.begin()
            return await work(conversation)


def _context(server: LDAPServer) -> ssl.SSLContext:
    """TLS as configured. Blocks."""
    try:
        context = ssl.create_default_context(cafile=server.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise DirectoryUnavailable(
            f"LDAP server {server.name!r}: cafile {server.ca_file} cannot be read: {error}"
        ) from error
    if not server.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _sensible(name: str) -> bool:
    return bool(name.strip()) and len(name) <= _LONGEST_NAME and name.isprintable()
