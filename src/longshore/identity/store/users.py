"""Users."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, exists, func, select, update

from longshore.db.listing import Large, Listing, read_page
from longshore.identity.errors import Missing, StillNeeded, Taken
from longshore.identity.model import GroupKind, LinkedIdentity, User
from longshore.identity.store.groups import set_groups_of
from longshore.identity.store.refresh_tokens import remove_refresh_tokens
from longshore.identity.store.sessions import remove_sessions
from longshore.identity.store.standing import seal
from longshore.identity.tables import user_identities, users
from longshore.registry.store.statements import insert_if_absent
from longshore.telemetry import clock

#: Of which kind groups are that a provider lists, by what its name begins with.
_GROUPS: Final = {"ldap": GroupKind.LDAP, "oidc": GroupKind.OIDC}
_INNER: Final = frozenset({"password_hash", "generation", "admin_by"})
_USER: Select[Any] = select(
    *[column for column in users.c if column.name not in _INNER],
    users.c.password_hash.is_not(None).label("local"),
)


def find_password(connection: Connection, user: str) -> tuple[str | None, str]:
    """The hash of a user's password, None if there is none, and its seal."""
    row = connection.execute(
        select(users.c.id, users.c.password_hash, users.c.generation).where(users.c.name == user)
    ).one_or_none()
    if row is None:
        return None, ""
    return row.password_hash, seal(row.id, row.password_hash, row.generation)


def add_user(
    connection: Connection,
    name: str,
    password_hash: str | None,
    now: float,
    *,
    email: str = "",
    real_name: str = "",
    is_admin: bool = False,
    comment: str = "",
) -> int:
    """The new user's id. Raises Taken when there is one of that name or, if it is given, that address."""
    if email and connection.scalar(select(exists().where(users.c.email == email))):
        raise Taken(f"there is a user with the e-mail address {email!r} already")
    row = {
        "name": name,
        "email": email,
        "real_name": real_name,
        "password_hash": password_hash,
        "is_admin": is_admin,
        "disabled": False,
        "created_at": now,
        "updated_at": now,
        "comment": comment,
    }
    if not insert_if_absent(connection, users, row):
        raise Taken(f"there is a user {name!r} already")
    return user_id(connection, name)


def list_users(connection: Connection) -> list[User]:
    """Everybody, by name."""
    return [User(**row._mapping) for row in connection.execute(_USER.order_by(users.c.name))]


def page_of_users(connection: Connection, listing: Listing) -> tuple[list[User], int]:
    """A page, by id unless the listing says otherwise, and how many there are. Raises UnusableValue."""
    columns = {
        "username": users.c.name,
        "user_id": users.c.id,
        "email": users.c.email,
        "realname": users.c.real_name,
        "sysadmin_flag": users.c.is_admin,
        "creation_time": users.c.created_at,
        "update_time": users.c.updated_at,
    }
    large = Large(_USER, users.c.id)
    rows, total = read_page(connection, _USER, columns, listing, [users.c.id], large)
    return [User(**row._mapping) for row in rows], total


def find_user(
    connection: Connection, *, id: int | None = None, name: str | None = None
) -> User | None:
    """By id or by name."""
    condition = users.c.name == name if id is None else users.c.id == id
    row = connection.execute(_USER.where(condition)).one_or_none()
    return None if row is None else User(**row._mapping)


def find_user_by_mail(connection: Connection, email: str) -> User | None:
    """Who has that address."""
    row = connection.execute(_USER.where(users.c.email == email).limit(1)).one_or_none()
    return None if row is None else User(**row._mapping)


def names_of_users(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """Id -> name, of those that there are."""
    rows = connection.execute(select(users.c.id, users.c.name).where(users.c.id.in_(ids)))
    return {row.id: row.name for row in rows}


def count_users(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(users)) or 0


def update_user(connection: Connection, id: int, **values: Any) -> None:
    """Change columns of one user: ``email``, ``real_name``, ``comment``, ``is_admin``, ``disabled``,
    ``password_hash``; of the last three, what changes ends the user's sessions, and of ``is_admin`` whatever was
    proved as them. ``is_admin`` is somebody's word here: providers say it with :func:`set_admin_by`. Raises Missing;
    StillNeeded when nobody would be left to administer; Taken when somebody has the address."""
    found = find_user(connection, id=id)
    if found is None:
        raise Missing(f"there is no user with the id {id}")
    email = values.get("email")
    if email and email != found.email:
        others = exists().where(users.c.email == email, users.c.id != id)
        if connection.scalar(select(others)):
            raise Taken(f"there is a user with the e-mail address {email!r} already")
    changed = {**values, "updated_at": clock.timestamp()}
    if "is_admin" in values:
        changed.setdefault("admin_by", "")
    connection.execute(update(users).where(users.c.id == id).values(**changed))
    _keep_an_administrator(connection, found)
    # Whoever becomes more, or less, logs in again: nobody goes on with what was given to them before.
    if values.get("is_admin", found.is_admin) != found.is_admin:
        end_proofs(connection, id)
    elif "password_hash" in values or values.get("disabled", found.disabled) != found.disabled:
        remove_sessions(connection, id)


def heeds(connection: Connection, id: int, provider: str, *, is_admin: bool) -> bool:
    """Whether it changes something that ``provider`` (as in identities) says whether a user is an administrator."""
    return _heeded(connection, id, provider, is_admin=is_admin) is not None


def set_admin_by(connection: Connection, id: int, provider: str, *, is_admin: bool) -> bool:
    """``provider`` says whether a user is an administrator; whether they become one or cease to be. It makes one of
    who is none, and takes away only what it gave, not what somebody here or another provider did. Raises
    StillNeeded when nobody would be left to administer."""
    heeded = _heeded(connection, id, provider, is_admin=is_admin)
    if heeded is not None:
        by = provider if is_admin else ""
        update_user(connection, id, is_admin=is_admin, admin_by=by)
    return bool(heeded)


def _heeded(connection: Connection, id: int, provider: str, *, is_admin: bool) -> bool | None:
    """None: nothing changes. False: only who has said so."""
    row = connection.execute(
        select(users.c.is_admin, users.c.admin_by).where(users.c.id == id)
    ).one_or_none()
    if row is None or (not row.is_admin and not is_admin):
        return None
    if row.is_admin and row.admin_by not in (provider, None):
        return None
    if row.is_admin and is_admin:
        return False if row.admin_by is None else None
    return True


def set_password(connection: Connection, name: str, password_hash: str) -> None:
    """Raises Missing when there is no such user."""
    update_user(connection, user_id(connection, name), password_hash=password_hash)


def set_disabled(connection: Connection, name: str, disabled: bool) -> None:
    """Raises Missing when there is no such user, StillNeeded when nobody would be left to administer."""
    update_user(connection, user_id(connection, name), disabled=disabled)


def end_proofs(connection: Connection, id: int) -> None:
    """Whatever was proved as that user counts no longer: remembered passwords, sessions, tokens of the
    registry, refresh tokens."""
    changed = update(users).where(users.c.id == id)
    connection.execute(changed.values(generation=users.c.generation + 1))
    remove_sessions(connection, id)
    remove_refresh_tokens(connection, id)


def remove_user(connection: Connection, name: str) -> None:
    """Raises Missing when there is no such user, StillNeeded when nobody would be left to administer."""
    found = find_user(connection, name=name)
    if found is None:
        raise _unknown(name)
    connection.execute(delete(users).where(users.c.id == found.id))
    _keep_an_administrator(connection, found)


def first_administrator(connection: Connection) -> str:
    """Who has been one longest. Raises Missing."""
    query = select(users.c.name).where(users.c.is_admin, users.c.disabled.is_(False))
    found: str | None = connection.scalar(query.order_by(users.c.id).limit(1))
    if found is None:
        raise Missing("there is no administrator: make one with: longshore user add --admin")
    return found


def has_administrator(connection: Connection, *, enabled: bool = False) -> bool:
    """Whether somebody may do everything; with ``enabled``, and may log in."""
    wanted = [users.c.is_admin, ~users.c.disabled] if enabled else [users.c.is_admin]
    return bool(connection.scalar(select(exists().where(*wanted))))


def user_id(connection: Connection, name: str) -> int:
    """Raises Missing when there is no such user."""
    found: int | None = connection.scalar(select(users.c.id).where(users.c.name == name))
    if found is None:
        raise _unknown(name)
    return found


# How others know them


def find_identity(
    connection: Connection, provider: str, subject: str, *, held: bool = False
) -> User | None:
    """The user whom ``provider`` (a directory, an OpenID provider) knows as ``subject``. ``held``: until this
    transaction ends nobody unlinks the two."""
    condition = (user_identities.c.provider == provider) & (user_identities.c.subject == subject)
    query = _USER.join(user_identities, user_identities.c.user_id == users.c.id).where(condition)
    if held:
        query = query.with_for_update(of=user_identities)
    row: Row[Any] | None = connection.execute(query).one_or_none()
    return None if row is None else User(**row._mapping)


def link_identity(
    connection: Connection, provider: str, subject: str, user: int, now: float
) -> None:
    """From now on ``subject`` of ``provider`` is that user. Raises Taken when it is another one."""
    row = {"provider": provider, "subject": subject, "user_id": user, "created_at": now}
    if insert_if_absent(connection, user_identities, row):
        return
    known = find_identity(connection, provider, subject)
    if known is None or known.id != user:
        raise Taken(f"{subject[:200]!r} of {provider!r} is another user already")


def identities_of(connection: Connection, user: int) -> list[LinkedIdentity]:
    """Those of one user, by provider and subject."""
    columns = (
        user_identities.c.provider,
        user_identities.c.subject,
        user_identities.c.created_at,
    )
    query = select(*columns).where(user_identities.c.user_id == user)
    rows = connection.execute(query.order_by(user_identities.c.provider, user_identities.c.subject))
    return [LinkedIdentity(**row._mapping) for row in rows]


def unlink_identity(
    connection: Connection, user: int, gone: LinkedIdentity, usable: Collection[str]
) -> None:
    """``gone`` is not that user any more: they are in no group and no administrator by what that provider said, and
    what was proved as them counts no longer. Raises Missing when it was not; StillNeeded when no way to log in would
    be left, a password here or an identity at one of the providers ``usable``, or nobody who administers."""
    # Those who unlink at the same time wait for each other here.
    query = select(users.c.name, users.c.password_hash).where(users.c.id == user)
    row = connection.execute(query.with_for_update()).one_or_none()
    mine = (
        (user_identities.c.user_id == user)
        & (user_identities.c.provider == gone.provider)
        & (user_identities.c.subject == gone.subject)
    )
    if row is None or not connection.execute(delete(user_identities).where(mine)).rowcount:
        raise Missing(f"{gone.subject[:200]!r} of {gone.provider!r} is not that user")
    left = [one for one in identities_of(connection, user) if one.provider in usable]
    if row.password_hash is None and not left:
        raise StillNeeded(
            f"user {row.name!r} has no password here and no other identity to log in with: link another first, or "
            f"give them a password with: longshore user passwd {row.name}"
        )
    kind = _GROUPS.get(gone.provider.partition(":")[0])
    if kind is not None:
        set_groups_of(connection, user, (), kind, gone.provider)
    set_admin_by(connection, user, gone.provider, is_admin=False)
    end_proofs(connection, user)


def _keep_an_administrator(connection: Connection, changed: User) -> None:
    if changed.is_admin and not has_administrator(connection, enabled=True):
        raise StillNeeded(
            f"user {changed.name!r} is the last administrator who can log in; make another first: "
            "longshore user add --admin NAME"
        )


def _unknown(name: str) -> Missing:
    return Missing(f"there is no user {name!r}: see `longshore user list`")
