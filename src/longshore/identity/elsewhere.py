"""Accounts of people whom a directory or a provider knows: found by what never changes there, never by a name or an
address, and kept as they are there."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from longshore.db.database import Connection
from longshore.identity import store, validation
from longshore.identity.changes import Changes, ManagementChange
from longshore.identity.errors import Missing, StillNeeded
from longshore.identity.model import GroupKind, User
from longshore.outbox.model import Event, Origin
from longshore.telemetry import clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Profile:
    """Somebody as ``source`` has them, which sentences call so (``LDAP server 'corp'``) and linked identities
    ``provider``. ``email`` may be empty; of ``real_name``, ``groups`` (external id -> name) and ``is_admin`` None means
    that the source says nothing."""

    source: str
    provider: str
    subject: str
    email: str
    real_name: str | None
    kind: GroupKind
    groups: Mapping[str, str] | None
    is_admin: bool | None


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and the seal of a login that is proved now."""

    user: User
    seal: str


def account(connection: Connection, user: User) -> Account:
    """That of ``user``, now."""
    return Account(user, store.find_password(connection, user.name)[1])


async def enter(
    changes: Changes,
    profile: Profile,
    origin: Origin,
    name: Callable[[Connection], str],
    first: Callable[[Connection], None] | None = None,
) -> Account:
    """The account of ``profile``, now as it says; made if there is none, with what ``name`` tells in the same
    transaction. ``first`` is done before all else there. Raises IdentityError: Taken when somebody has the name."""
    told: list[tuple[str, str]] = []

    def work(connection: Connection) -> Account:
        told.clear()  # a transaction may be run again
        if first is not None:
            first(connection)
        found = store.find_identity(connection, profile.provider, profile.subject, held=True)
        if found is None:
            found = _add(connection, profile, validation.user_name(name(connection)))
            told.append(("create", f"first login by {profile.source}"))
        told.extend(_update(connection, found, profile))
        user = store.find_user(connection, id=found.id)
        if user is None:
            raise Missing(f"the user {found.name!r} has gone")
        return account(connection, user)

    def events(entered: Account) -> Sequence[Event]:
        return [
            ManagementChange(
                at=clock.timestamp(),
                origin=origin,
                operation=operation,
                resource_type="user",
                resource=entered.user.name,
                description=description,
            )
            for operation, description in told
        ]

    return await changes.telling(work, events)


def is_free(connection: Connection, mail: str) -> bool:
    """Whether nobody has that address: it is no proof of who one is, so it is left to who has it."""
    return bool(mail) and store.find_user_by_mail(connection, mail) is None


def _add(connection: Connection, profile: Profile, name: str) -> User:
    now = clock.timestamp()
    mail = profile.email if is_free(connection, profile.email) else ""
    id = store.add_user(connection, name, None, now, email=mail, real_name=profile.real_name or "")
    store.link_identity(connection, profile.provider, profile.subject, id, now)
    found = store.find_user(connection, id=id)
    if found is None:
        raise Missing(f"the user {name!r} has gone")
    return found


def _update(connection: Connection, user: User, profile: Profile) -> list[tuple[str, str]]:
    """Make the rest of the account what the source has; what there is to tell."""
    values: dict[str, str] = {}
    if profile.real_name not in (None, user.real_name):
        values["real_name"] = profile.real_name or ""
    if profile.email != user.email and is_free(connection, profile.email):
        values["email"] = profile.email
    if values:
        store.update_user(connection, user.id, **values)
    if profile.groups is not None:
        now = clock.timestamp()
        groups = [
            store.ensure_group(connection, profile.kind, external_id, name, now)
            for external_id, name in profile.groups.items()
        ]
        store.set_groups_of(connection, user.id, groups, profile.kind, profile.provider)
    if profile.is_admin is None:
        return []
    try:
        with connection.begin_nested():
            changed = store.set_admin_by(
                connection, user.id, profile.provider, is_admin=profile.is_admin
            )
    except StillNeeded as error:
        logger.warning("%s: %s", profile.source, error)
        return []
    now_is = "is" if profile.is_admin else "is no longer"
    return [("update", f"{now_is} an administrator, says {profile.source}")] if changed else []
