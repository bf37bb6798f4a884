"""Custom roles, and what rows say of roles."""

from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, update

from longshore.db.listing import Listing, read_page
from longshore.identity.errors import Missing, StillNeeded, Taken
from longshore.identity.model import FIRST_CUSTOM_ROLE, AnyRole, CustomRole, Role
from longshore.identity.permissions import Permission, Permissions
from longshore.identity.tables import custom_roles, project_members
from longshore.oci.errors import Unavailable
from longshore.registry.store.statements import insert_if_absent

#: In ``project_members.role``: the role is a custom one.
_CUSTOM: Final = 0
_ATTEMPTS: Final = 10
#: What :func:`role_of` reads, of project_members joined with custom_roles.
ROLE_COLUMNS: Final = (
    project_members.c.role,
    project_members.c.custom_role_id,
    custom_roles.c.name.label("role_name"),
    custom_roles.c.permissions.label("role_permissions"),
)


def role_of(row: Any) -> AnyRole:
    """What a row with ROLE_COLUMNS says."""
    if row.role != _CUSTOM:
        return Role(row.role)
    return CustomRole(row.custom_role_id, row.role_name, _parsed(tuple(row.role_permissions)))


def role_values(connection: Connection, role: AnyRole) -> dict[str, int | None]:
    """What a member's row has for ``role``, which stays until the transaction ends. Raises Missing."""
    if isinstance(role, Role):
        return {"role": role.value, "custom_role_id": None}
    mine = custom_roles.c.id == role.id
    # Whoever removes the role waits for us, or we see that it has gone. SQLite has one writer anyway.
    query = select(custom_roles.c.id).where(mine).with_for_update(read=True, key_share=True)
    if connection.scalar(query) is None:
        raise _unknown(role.id)
    return {"role": _CUSTOM, "custom_role_id": role.id}


def add_role(
    connection: Connection, name: str, permissions: Permissions, now: float, description: str = ""
) -> int:
    """The new role's id. Raises Taken when there is one of that name."""
    row: dict[str, Any] = {
        "name": name,
        "description": description,
        "permissions": _listed(permissions),
        "created_at": now,
        "updated_at": now,
    }
    for _ in range(_ATTEMPTS):
        largest = connection.scalar(select(func.max(custom_roles.c.id))) or 0
        row["id"] = max(FIRST_CUSTOM_ROLE, largest + 1)
        if insert_if_absent(connection, custom_roles, row):
            return int(row["id"])
        if find_role(connection, name=name) is not None:
            raise Taken(f"there is a role {name!r} already")
    raise Unavailable("others make roles all the time: try again")


def find_role(
    connection: Connection, *, id: int | None = None, name: str | None = None
) -> CustomRole | None:
    """By id or by name."""
    condition = custom_roles.c.name == name if id is None else custom_roles.c.id == id
    row = connection.execute(select(custom_roles).where(condition)).one_or_none()
    return None if row is None else _role(row)


def any_role(connection: Connection, *, id: int | None = None, name: str = "") -> AnyRole:
    """One of Harbor's or a custom one, by its id or, as commands spell it, its name. Raises Missing."""
    for role in Role:
        if role.value == id or (id is None and role.word == name):
            return role
    found = find_role(connection, id=id, name=name)
    if found is None:
        raise _unknown(name if id is None else id)
    return found


def list_roles(connection: Connection) -> list[CustomRole]:
    """Every custom role, by name."""
    rows = connection.execute(select(custom_roles).order_by(custom_roles.c.name))
    return [_role(row) for row in rows]


def page_of_roles(connection: Connection, listing: Listing) -> tuple[list[CustomRole], int]:
    """A page of custom roles, by name unless the listing says otherwise, and how many there are.
    Raises UnusableValue."""
    columns = {
        "id": custom_roles.c.id,
        "name": custom_roles.c.name,
        "creation_time": custom_roles.c.created_at,
        "update_time": custom_roles.c.updated_at,
    }
    rows, total = read_page(
        connection, select(custom_roles), columns, listing, [custom_roles.c.name]
    )
    return [_role(row) for row in rows], total


def change_role(
    connection: Connection,
    id: int,
    now: float,
    *,
    name: str | None = None,
    description: str | None = None,
    permissions: Permissions | None = None,
) -> None:
    """Whatever is given; it counts at once for all who have the role. Raises Missing; Taken for a name that
    another role has."""
    values: dict[str, Any] = {"updated_at": now}
    if name is not None:
        other = find_role(connection, name=name)
        if other is not None and other.id != id:
            raise Taken(f"there is a role {name!r} already")
        values["name"] = name
    if description is not None:
        values["description"] = description
    if permissions is not None:
        values["permissions"] = _listed(permissions)
    statement = update(custom_roles).where(custom_roles.c.id == id).values(**values)
    if connection.execute(statement.returning(custom_roles.c.id)).first() is None:
        raise _unknown(id)


def remove_role(connection: Connection, id: int) -> None:
    """Raises Missing, and StillNeeded while somebody has it."""
    locked = select(custom_roles.c.name).where(custom_roles.c.id == id).with_for_update()
    name: str | None = connection.scalar(locked)
    if name is None:
        raise _unknown(id)
    having = project_members.c.custom_role_id == id
    query = select(func.count(), func.count(project_members.c.project_id.distinct()))
    members, projects = connection.execute(query.where(having)).one()
    if members:
        raise StillNeeded(
            f"role {name!r} is that of {members} member{'s' if members > 1 else ''} in {projects} "
            f"project{'s' if projects > 1 else ''}: give them another one first"
        )
    connection.execute(delete(custom_roles).where(custom_roles.c.id == id))


def roles_with(connection: Connection, needed: Collection[Permission]) -> list[int]:
    """The ids of the custom roles that give all of ``needed``; of Harbor's every one gives what there is to
    read."""
    wanted = set(needed)
    return [role.id for role in list_roles(connection) if wanted <= role.permissions]


def _listed(permissions: Permissions) -> list[str]:
    return sorted(map(str, permissions))


@lru_cache(1024)
def _parsed(permissions: tuple[str, ...]) -> Permissions:
    return frozenset(map(Permission.parse, permissions))


def _role(row: Any) -> CustomRole:
    return CustomRole(
        row.id,
        row.name,
        _parsed(tuple(row.permissions)),
        row.description,
        row.created_at,
        row.updated_at,
    )


def _unknown(role: int | str) -> Missing:
    return Missing(f"there is no role {role!r}: see `longshore role list`")
