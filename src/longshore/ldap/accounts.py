"""The user of the registry that somebody in a directory is: found by what never changes there, made at
the first login, kept as the directory has them."""

from typing import Final

from longshore.db.database import Connection
from longshore.identity import store
from longshore.identity.changes import Changes
from longshore.identity.elsewhere import Account, Profile, account, enter, is_free
from longshore.identity.errors import IdentityError, Taken
from longshore.identity.model import GroupKind
from longshore.ldap.model import Person
from longshore.outbox.model import Origin
from longshore.telemetry import clock

#: More than anybody is in; a name longer than these is none that a person gave.
_LONGEST_NAME: Final = 255
_LONGEST_DN: Final = 1024


class NotLinked(Exception):
    """Somebody in a directory has no account and gets none. The message says what to do; it is for
    administrators."""


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
            return await enter(self._changes, _profile(person), origin, lambda _: person.uid)
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


def _current(connection: Connection, person: Person) -> Account | None:
    """The account, if there is nothing to write about it."""
    by = provider(person.server)
    user = store.find_identity(connection, by, person.subject)
    if user is None or user.real_name != person.real_name:
        return None
    says = person.is_admin
    if says is not None and store.heeds(connection, user.id, by, is_admin=says):
        return None
    if person.mail != user.email and is_free(connection, person.mail):
        return None
    wanted = _wanted_groups(person)
    if not store.is_in_groups_by(connection, user.id, wanted.keys(), GroupKind.LDAP, by):
        return None
    return account(connection, user)


def _profile(person: Person) -> Profile:
    return Profile(
        f"LDAP server {person.server!r}",
        provider(person.server),
        person.subject,
        person.mail,
        person.real_name,
        GroupKind.LDAP,
        _wanted_groups(person),
        person.is_admin,
    )


def _wanted_groups(person: Person) -> dict[str, str]:
    """DN -> name."""
    return {
        group.dn: group.name[:_LONGEST_NAME]
        for group in person.groups
        if len(group.dn) <= _LONGEST_DN
    }
