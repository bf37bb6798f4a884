"""The user of the registry that somebody at a provider is: found by what never changes there, never by a
name or an address."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from longshore.db.database import Connection
from longshore.identity import store, validation
from longshore.identity.changes import Changes
from longshore.identity.elsewhere import Profile, enter
from longshore.identity.errors import Taken
from longshore.identity.model import GroupKind, User
from longshore.oidc.people import Person
from longshore.outbox.model import Origin
from longshore.telemetry import clock

#: How many names are tried: alice, alice-2, alice-3 ...
_NAMES: Final = 100
#: Seconds that somebody may take to choose a name.
LIFETIME: Final = 600.0
#: Says what it is, to programs that look for secrets in files.
_PREFIX: Final = "lsn_"
_LONGEST: Final = 200


def provider_key(name: str) -> str:
    """Under which name accounts are linked to the people of a provider."""
    return f"oidc:{name}"


class NotExpected(Exception):
    """Somebody chooses a name and has none to choose. The message is a sentence for them."""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody who has proved who they are at ``provider`` (its name in the settings, and what it called itself),
    and is to choose a name here before they go on to ``target``."""

    person: Person
    provider: str
    issuer: str
    target: str


class Accounts:
    """Accounts of people at providers."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def known(self, provider: str, subject: str) -> User | None:
        """The user whom a provider knows as ``subject``."""
        key = provider_key(provider)
        return await self._changes.database.read(
            lambda connection: store.find_identity(connection, key, subject)
        )

    async def free_name(self, wanted: str) -> str:
        """``wanted``, or with a number if somebody has it."""
        return await self._changes.database.read(lambda connection: _free(connection, wanted))

    async def link(self, person: Person, user_id: int, user: str, origin: Origin) -> None:
        """From now on ``person`` is that user. Raises Taken when they are another one."""
        key = provider_key(person.provider)

        def work(connection: Connection) -> None:
            store.link_identity(connection, key, person.subject, user_id, clock.timestamp())

        await self._changes.make(
            work,
            "update",
            "user",
            user,
            description=f"is {person.subject!r} of {key!r} from now on",
            origin=origin,
        )

    async def expect(self, newcomer: Newcomer) -> str:
        """A text by which the browser that is given it says who is to choose a name, for a while and once."""
        text = _PREFIX + secrets.token_urlsafe(32)
        person = newcomer.person
        work = partial(
            store.add_signup,
            token_hash=_hash(text),
            provider=provider_key(person.provider),
            subject=person.subject,
            content=asdict(newcomer),
            expires_at=clock.timestamp() + LIFETIME,
        )
        await self._changes.database.write(work)
        return text

    async def expected(self, text: str) -> Newcomer | None:
        """Who is to choose a name; None when nobody is, any more."""
        if not text.startswith(_PREFIX) or len(text) > _LONGEST:
            return None
        # 256 random bits: a fast hash is enough, as for sessions.
        find = partial(store.find_signup, token_hash=_hash(text), now=clock.timestamp())
        found = await self._changes.database.read(find)
        return None if found is None else _newcomer(found)

    async def sign_up(self, text: str, person: Person, name: str, origin: Origin) -> User:
        """Make the user whom ``person`` chose to be with what :meth:`expect` gave, which is used up with it. Raises
        NotExpected when it was before, or when they have become somebody meanwhile; IdentityError: Taken when
        ``name`` is somebody else's."""
        chosen = validation.user_name(name)

        def take(connection: Connection) -> None:
            if not store.remove_signup(connection, _hash(text), clock.timestamp()):
                raise NotExpected("no new user is expected from this browser; log in again")
            key = provider_key(person.provider)
            known = store.find_identity(connection, key, person.subject)
            if known is not None:
                raise NotExpected(f"you are the user {known.name!r} here already; log in again")

        entered = await enter(self._changes, _profile(person), origin, lambda _: chosen, take)
        return entered.user

    async def enter(self, person: Person, origin: Origin) -> User:
        """The user who ``person`` is, now as the provider has them; made if there is none, as what is free of
        what the provider suggests. Raises IdentityError."""
        for _ in range(3):
            try:
                entered = await enter(
                    self._changes,
                    _profile(person),
                    origin,
                    lambda connection: _free(connection, person.name),
                )
                return entered.user
            except Taken:
                # Another process made the same person, or took the free name, a moment ago.
                continue
        raise Taken(f"no name is free for {person.name!r}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _newcomer(found: Mapping[str, Any]) -> Newcomer:
    fields = found["person"]
    groups = fields["groups"]
    person = Person(**{**fields, "groups": None if groups is None else tuple(groups)})
    return Newcomer(**{**found, "person": person})


def _free(connection: Connection, wanted: str) -> str:
    for number in range(1, _NAMES + 1):
        name = wanted if number == 1 else f"{wanted}-{number}"
        if name != "anonymous" and store.find_user(connection, name=name) is None:
            return name
    raise Taken(f"{_NAMES} users are called {wanted!r} already")


def _profile(person: Person) -> Profile:
    groups = None if person.groups is None else {name: name for name in person.groups}
    return Profile(
        f"OpenID provider {person.provider!r}",
        provider_key(person.provider),
        person.subject,
        person.email,
        person.real_name or None,
        GroupKind.OIDC,
        groups,
        person.is_admin,
    )
