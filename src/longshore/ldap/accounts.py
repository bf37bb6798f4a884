"""The user of the registry that somebody in a directory is: found by what never changes there, made at
the first login, kept as the directory has them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from longshore.db.database import Connection
from longshore.identity import store, validation
from longshore.identity.changes import Changes, ManagementChange
from longshore.identity.errors import IdentityError, Missing, StillNeeded, Taken
from longshore.identity.model import GroupKind, User
from longshore.ldap.model import Person
from longshore.outbox.model import Event, Origin
from longshore.telemetry import clock

logger = logging.getLogger(__name__)

#: More than anybody is in; a name longer than these is none that a person gave.
_LONGEST_NAME: Final = 255
_LONGEST_DN: Final = 1024


class NotLinked(Exception):
    """Somebody in a directory has no account and gets none. The message says what to do; it is for
    administrators."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and the seal of a login that is proved now."""

    user: User
    seal: str


def provider(server: str) -> str:
    """Under which name accounts are linked to the people of a directory."""
    return f"ldap:{server}"


class Accounts:
    """Accounts of people in directories."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def of(self, person: Person, origin: Origin) -> Account:
        """The account of ``person``, now as the directory has them; made if they have none. Nothing is
        written when nothing changed. Raises NotLinked when another account has the name."""
        known = await self._changes.database.read(lambda connection: _current(connection, person))
        if known is not None:
            return known
        try:
            return await self._write(person, origin)
        except Taken as error:
            # Another process was quicker by a moment, or the name is somebody else's.
            known = await self._changes.database.read(
                lambda connection: _current(connection, person)
            )
            if known is not None:
                return known
            raise NotLinked(
                f"{person.dn!r} of LDAP server {person.server!r} has no account: "
                f"{error}. Link the two if they are the same person: longshore ldap link "
                f"{person.uid} --server {person.server}"
            ) from error
        except IdentityError as error:
            raise NotLinked(
                f"{person.dn!r} of LDAP server {person.server!r} can have no account: {error}"
            ) from error

    async def link(self, name: str, person: Person, origin: Origin) -> None:
        """From now on the user ``name`` is that person. Raises IdentityError when there is no such user,
        or when the person is another one already."""

        def work(connection: Connection) -> None:
            store.link_identity(
                connection,
                provider(person.server),
                person.subject,
                store.user_id(connection, name),
                clock.timestamp(),
            )

        await self._changes.make(
            work,
            "update",
            "user",
            name,
            description=f"is {person.dn!r} of LDAP server {person.server!r} from now on",
            origin=origin,
        )

    async def _write(self, person: Person, origin: Origin) -> Account:
        told: list[tuple[str, str]] = []

        def work(connection: Connection) -> Account:
            told.clear()  # a transaction may be run again
            found = _find(connection, person, held=True)
            if found is None:
                found = _add(connection, person)
                told.append(("create", f"first login by LDAP server {person.server!r}"))
            told.extend(_update(connection, found, person))
            user = store.find_user(connection, id=found.id)
            if user is None:
                raise Missing(f"the user {found.name!r} has gone")
            return _account(connection, user)

        def events(account: Account) -> Sequence[Event]:
            return [
                ManagementChange(
                    at=clock.timestamp(),
                    origin=origin,
                    operation=operation,
                    resource_type="user",
                    resource=account.user.name,
                    description=description,
                )
                for operation, description in told
            ]

        return await self._changes.telling(work, events)


def _find(connection: Connection, person: Person, *, held: bool = False) -> User | None:
    return store.find_identity(connection, provider(person.server), person.subject, held=held)


def _account(connection: Connection, user: User) -> Account:
    return Account(user, store.find_password(connection, user.name)[1])


def _current(connection: Connection, person: Person) -> Account | None:
    """The account, if there is nothing to write about it."""
    user = _find(connection, person)
    if user is None or user.real_name != person.real_name:
        return None
    by = provider(person.server)
    says = person.is_admin
    if says is not None and store.heeds(connection, user.id, by, is_admin=says):
        return None
    if person.mail not in ("", user.email) and not _has_mail(connection, person.mail):
        return None
    wanted = _wanted_groups(person)
    if not store.is_in_groups_by(connection, user.id, wanted.keys(), GroupKind.LDAP, by):
        return None
    return _account(connection, user)


def _add(connection: Connection, person: Person) -> User:
    now = clock.timestamp()
    name = validation.user_name(person.uid)
    mail = "" if _has_mail(connection, person.mail) else person.mail
    id = store.add_user(connection, name, None, now, email=mail, real_name=person.real_name)
    store.link_identity(connection, provider(person.server), person.subject, id, now)
    found = store.find_user(connection, id=id)
    if found is None:
        raise Missing(f"the user {name!r} has gone")
    return found


def _update(connection: Connection, user: User, person: Person) -> list[tuple[str, str]]:
    """Make the rest of the account what the directory has; what there is to tell."""
    values = {"real_name": person.real_name}
    if person.mail and not _has_mail(connection, person.mail):
        values["email"] = person.mail
    store.update_user(connection, user.id, **values)
    now = clock.timestamp()
    groups = [
        store.ensure_group(connection, GroupKind.LDAP, dn, name, now)
        for dn, name in _wanted_groups(person).items()
    ]
    by = provider(person.server)
    store.set_groups_of(connection, user.id, groups, GroupKind.LDAP, by)
    if person.is_admin is None:
        return []
    try:
        with connection.begin_nested():
            if not store.set_admin_by(connection, user.id, by, is_admin=person.is_admin):
                return []
    except StillNeeded as error:
        logger.warning("LDAP server %s: %s", person.server, error)
        return []
    now_is = "is" if person.is_admin else "is no longer"
    return [("update", f"{now_is} an administrator, says LDAP server {person.server!r}")]


def _has_mail(connection: Connection, mail: str) -> bool:
    """Whether somebody has that address: it is no proof of who one is, so it is left to them."""
    return bool(mail) and store.find_user_by_mail(connection, mail) is not None


def _wanted_groups(person: Person) -> dict[str, str]:
    """DN -> name."""
    return {
        group.dn: group.name[:_LONGEST_NAME]
        for group in person.groups
        if len(group.dn) <= _LONGEST_DN
    }
