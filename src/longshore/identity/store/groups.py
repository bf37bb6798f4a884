"""Groups, and who is in them."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update

from longshore.db.listing import Listing, read_page
from longshore.identity.errors import Missing, Taken
from longshore.identity.model import Group, GroupKind, TeamMember
from longshore.identity.tables import user_group_members, user_groups, users
from longshore.registry.store.statements import insert_if_absent

_GROUP: Select[Any] = select(user_groups)


def add_group(
    connection: Connection, kind: GroupKind, name: str, now: float, external_id: str = ""
) -> int:
    """The new group's id. Raises Taken when there is one of that kind and name, or external id."""
    row = {
        "kind": kind.value,
        "name": name,
        "external_id": external_id or name,
        "created_at": now,
    }
    if not insert_if_absent(connection, user_groups, row):
        raise Taken(f"there is a group {(external_id or name)!r} already")
    found = find_group(connection, kind=kind, external_id=external_id or name)
    if found is None:
        raise Missing(f"the group {name!r} has gone again")
    return found.id


def ensure_group(
    connection: Connection, kind: GroupKind, external_id: str, name: str, now: float
) -> int:
    """The id of the group that a directory or provider calls ``external_id``, made if there is none."""
    found = find_group(connection, kind=kind, external_id=external_id)
    return add_group(connection, kind, name, now, external_id) if found is None else found.id


def find_group(
    connection: Connection,
    *,
    id: int | None = None,
    kind: GroupKind | None = None,
    external_id: str = "",
) -> Group | None:
    """By id, or by kind and external id."""
    if id is not None:
        query = _GROUP.where(user_groups.c.id == id)
    else:
        query = _GROUP.where(user_groups.c.external_id == external_id)
        if kind is not None:
            query = query.where(user_groups.c.kind == kind.value)
    row = connection.execute(query.order_by(user_groups.c.id).limit(1)).one_or_none()
    return None if row is None else _group(row)


def page_of_groups(
    connection: Connection,
    listing: Listing,
    *,
    kind: GroupKind | None = None,
    of: int | None = None,
) -> tuple[list[Group], int]:
    """A page, by id unless the listing says otherwise, and how many there are: of one ``kind``, with the
    user ``of`` in them. Raises UnusableValue."""
    query = _GROUP
    if kind is not None:
        query = query.where(user_groups.c.kind == kind.value)
    if of is not None:
        mine = select(user_group_members.c.group_id).where(user_group_members.c.user_id == of)
        query = query.where(user_groups.c.id.in_(mine))
    columns = {
        "group_name": user_groups.c.name,
        "ldap_group_dn": user_groups.c.external_id,
        "group_type": user_groups.c.kind,
        "id": user_groups.c.id,
    }
    rows, total = read_page(connection, query, columns, listing, [user_groups.c.id])
    return [_group(row) for row in rows], total


def rename_group(connection: Connection, id: int, name: str) -> None:
    """Raises Missing; Taken for a name that a group of its kind has."""
    found = find_group(connection, id=id)
    if found is None:
        raise _unknown(id)
    values = {"name": name}
    if found.external_id == found.name:
        other = find_group(connection, kind=found.kind, external_id=name)
        if other is not None and other.id != id:
            raise Taken(f"there is a group {name!r} already")
        values["external_id"] = name
    connection.execute(update(user_groups).where(user_groups.c.id == id).values(**values))


def remove_group(connection: Connection, id: int) -> None:
    """With its roles in projects. Raises Missing."""
    gone = connection.execute(
        delete(user_groups).where(user_groups.c.id == id).returning(user_groups.c.id)
    )
    if gone.first() is None:
        raise _unknown(id)


def list_groups(connection: Connection) -> list[Group]:
    """By name."""
    return [
        _group(row)
        for row in connection.execute(_GROUP.order_by(user_groups.c.name, user_groups.c.id))
    ]


def groups_called(connection: Connection, name: str) -> list[Group]:
    """Those that have the name, or that their directory calls so; by id."""
    called = or_(user_groups.c.name == name, user_groups.c.external_id == name)
    return [
        _group(row) for row in connection.execute(_GROUP.where(called).order_by(user_groups.c.id))
    ]


def groups_of(connection: Connection, user: int) -> list[Group]:
    """By id."""
    mine = select(user_group_members.c.group_id).where(user_group_members.c.user_id == user)
    query = _GROUP.where(user_groups.c.id.in_(mine)).order_by(user_groups.c.id)
    return [_group(row) for row in connection.execute(query)]


def members_of_group(connection: Connection, group: int) -> list[str]:
    """The names of who is in it, by name."""
    among = select(user_group_members.c.user_id).where(user_group_members.c.group_id == group)
    query = select(users.c.name).where(users.c.id.in_(among)).order_by(users.c.name)
    return list(connection.scalars(query))


def page_of_team(
    connection: Connection, group: int, listing: Listing
) -> tuple[list[TeamMember], int]:
    """A page of who is in it, by name unless the listing says otherwise, and how many there are. Raises
    UnusableValue."""
    query = (
        select(users.c.id.label("user_id"), users.c.name, user_group_members.c.maintainer)
        .join(user_group_members, user_group_members.c.user_id == users.c.id)
        .where(user_group_members.c.group_id == group)
    )
    columns = {
        "username": users.c.name,
        "user_id": users.c.id,
        "maintainer": user_group_members.c.maintainer,
    }
    rows, total = read_page(connection, query, columns, listing, [users.c.name])
    return [TeamMember(row.user_id, row.name, row.maintainer) for row in rows], total


def find_team_member(connection: Connection, group: int, user: int) -> TeamMember | None:
    """Somebody in it."""
    query = (
        select(users.c.id, users.c.name, user_group_members.c.maintainer)
        .join(user_group_members, user_group_members.c.user_id == users.c.id)
        .where(user_group_members.c.group_id == group, users.c.id == user)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else TeamMember(row.id, row.name, row.maintainer)


def count_members_of_groups(connection: Connection) -> dict[int, int]:
    """Group -> how many are in it; those without anybody are missing."""
    query = select(
        user_group_members.c.group_id, func.count(user_group_members.c.user_id.distinct())
    )
    rows = connection.execute(query.group_by(user_group_members.c.group_id))
    return {row[0]: row[1] for row in rows}


def set_groups_of(
    connection: Connection, user: int, groups: Collection[int], kind: GroupKind, provider: str
) -> None:
    """By what ``provider`` says (as in identities), ``user`` is in exactly these groups of that kind. What other
    providers say stays; what was noted before providers were goes. Writes nothing if that is so already."""
    rows = connection.execute(_given(user, kind, provider, user_groups.c.id))
    known = {(row.id, row.provider) for row in rows}
    wanted = {(group, provider) for group in groups}
    for group, by in known - wanted:
        gone = {"group_id": group, "user_id": user, "provider": by}
        connection.execute(delete(user_group_members).filter_by(**gone))
    new = sorted(wanted - known)
    if new:
        values = [{"group_id": group, "user_id": user, "provider": by} for group, by in new]
        connection.execute(insert(user_group_members), values)


def is_in_groups_by(
    connection: Connection, user: int, external_ids: Collection[str], kind: GroupKind, provider: str
) -> bool:
    """Whether that is so already, by what the directory or provider calls the groups."""
    rows = connection.execute(_given(user, kind, provider, user_groups.c.external_id))
    known = {(row.external_id, row.provider) for row in rows}
    return known == {(external_id, provider) for external_id in external_ids}


def _given(user: int, kind: GroupKind, provider: str, what: Any) -> Select[Any]:
    """``what`` of groups, and by whom: by that provider, or by nobody knows whom."""
    return (
        select(what, user_group_members.c.provider)
        .join(user_groups, user_groups.c.id == user_group_members.c.group_id)
        .where(
            user_groups.c.kind == kind.value,
            user_group_members.c.user_id == user,
            user_group_members.c.provider.in_(["", provider]),
        )
    )


def add_to_group(
    connection: Connection, group: int, user: int, *, maintainer: bool = False
) -> bool:
    """Whether that is new; does nothing if they are in it."""
    row = {"group_id": group, "user_id": user, "maintainer": maintainer}
    return insert_if_absent(connection, user_group_members, row)


def set_maintainer(connection: Connection, group: int, user: int, *, maintainer: bool) -> None:
    """Whether they may say who is in it. Raises Missing when they are not in it."""
    found = connection.execute(
        update(user_group_members)
        .where(user_group_members.c.group_id == group, user_group_members.c.user_id == user)
        .values(maintainer=maintainer)
        .returning(user_group_members.c.user_id)
    )
    if found.first() is None:
        raise Missing(f"user {user} is not in group {group}")


def remove_from_group(connection: Connection, group: int, user: int) -> None:
    """Raises Missing when they are not in it."""
    gone = connection.execute(
        delete(user_group_members)
        .where(user_group_members.c.group_id == group, user_group_members.c.user_id == user)
        .returning(user_group_members.c.user_id)
    )
    if gone.first() is None:
        raise Missing(f"user {user} is not in group {group}")


def _group(row: Any) -> Group:
    return Group(row.id, GroupKind(row.kind), row.name, row.external_id, row.created_at)


def _unknown(id: int) -> Missing:
    return Missing(f"there is no group with the id {id}")
