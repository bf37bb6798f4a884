"""The user of the registry that somebody at a provider is: found by what never changes there, never by a
name or an address."""

import logging
from collections.abc import Sequence
from typing import Final

from longshore.db.database import Connection
from longshore.identity import store, validation
from longshore.identity.changes import Changes, ManagementChange
from longshore.identity.errors import Missing, StillNeeded, Taken
from longshore.identity.model import GroupKind, User
from longshore.oidc.people import Person
from longshore.outbox.model import Event, Origin
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

#: How many names are tried: alice, alice-2, alice-3 ...
_NAMES: Final = 100


def provider_key(name: str) -> str:
    """Under which name accounts are linked to the people of a provider."""
    return f"oidc:{name}"


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

    async def enter(self, person: Person, origin: Origin, name: str = "") -> User:
        """The user who ``person`` is, now as the provider has them; made if there is none, as ``name`` or,
        if that is empty, as what is free of what the provider suggests. Raises IdentityError: Taken when
        ``name`` is somebody else's."""
        for _ in range(3):
            try:
                return await self._enter(person, origin, name)
            except Taken:
                # Another process made the same person, or took the free name, a moment ago.
                if name and await self.known(person.provider, person.subject) is None:
                    raise
        raise Taken(f"no name is free for {person.name!r}")

    async def _enter(self, person: Person, origin: Origin, name: str) -> User:
        told: list[tuple[str, str]] = []

        def work(connection: Connection) -> User:
            told.clear()  # a transaction may be run again
            found = store.find_identity(connection, provider_key(person.provider), person.subject)
            if found is None:
                chosen = validation.user_name(name or _free(connection, person.name))
                found = _add(connection, person, chosen)
                told.append(("create", f"first login by OpenID provider {person.provider!r}"))
            told.extend(_update(connection, found, person))
            user = store.find_user(connection, id=found.id)
            if user is None:
                raise Missing(f"the user {found.name!r} has gone")
            return user

        def events(user: User) -> Sequence[Event]:
            return [
                ManagementChange(
                    at=clock.timestamp(),
                    origin=origin,
                    operation=operation,
                    resource_type="user",
                    resource=user.name,
                    description=description,
                )
                for operation, description in told
            ]

        return await self._changes.telling(work, events)


def _free(connection: Connection, wanted: str) -> str:
    for number in range(1, _NAMES + 1):
        name = wanted if number == 1 else f"{wanted}-{number}"
        if name != "anonymous" and store.find_user(connection, name=name) is None:
            return name
    raise Taken(f"{_NAMES} users are called {wanted!r} already")


def _add(connection: Connection, person: Person, name: str) -> User:
    now = clock.timestamp()
    mail = "" if _has_mail(connection, person.email) else person.email
    id = store.add_user(connection, name, None, now, email=mail, real_name=person.real_name)
    store.link_identity(connection, provider_key(person.provider), person.subject, id, now)
    found = store.find_user(connection, id=id)
    if found is None:
        raise Missing(f"the user {name!r} has gone")
    return found


def _update(connection: Connection, user: User, person: Person) -> list[tuple[str, str]]:
    values: dict[str, str] = {}
    if person.real_name and person.real_name != user.real_name:
        values["real_name"] = person.real_name
    if person.email not in ("", user.email) and not _has_mail(connection, person.email):
        values["email"] = person.email
    if values:
        store.update_user(connection, user.id, **values)
    if person.groups is not None:
        now = clock.timestamp()
        groups = [
            store.ensure_group(connection, GroupKind.OIDC, name, name, now)
            for name in person.groups
        ]
        store.set_groups_of(connection, user.id, groups, GroupKind.OIDC)
    if person.is_admin is None or person.is_admin == user.is_admin:
        return []
    try:
        with connection.begin_nested():
            store.update_user(connection, user.id, is_admin=person.is_admin)
    except StillNeeded as error:
        logger.warning("OpenID provider %s: %s", person.provider, error)
        return []
    now_is = "is" if person.is_admin else "is no longer"
    return [("update", f"{now_is} an administrator, says OpenID provider {person.provider!r}")]


def _has_mail(connection: Connection, mail: str) -> bool:
    """Whether somebody has that address: it is no proof of who one is, so it is left to them."""
    return bool(mail) and store.find_user_by_mail(connection, mail) is not None
