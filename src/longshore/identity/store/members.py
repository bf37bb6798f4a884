"""Members: who is what in which project."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, or_, select, update

from longshore.db.listing import Listing, read_page
from longshore.identity.errors import Missing, Taken
from longshore.identity.model import AnyRole, Group, Member, Role
from longshore.identity.store.projects import project_id
from longshore.identity.store.roles import ROLE_COLUMNS, role_of, role_values
from longshore.identity.store.users import user_id
from longshore.identity.tables import (
    custom_roles,
    project_members,
    projects,
    user_group_members,
    user_groups,
    users,
)
from longshore.registry.store.statements import insert_if_absent

_NAME: Any = func.coalesce(users.c.name, user_groups.c.name)
_MEMBER: Select[Any] = (
    select(
        project_members.c.id,
        projects.c.name.label("project"),
        users.c.name.label("user"),
        user_groups.c.name.label("group"),
        func.coalesce(project_members.c.user_id, project_members.c.group_id).label("entity_id"),
        *ROLE_COLUMNS,
    )
    .join_from(project_members, projects, projects.c.id == project_members.c.project_id)
    .outerjoin(users, users.c.id == project_members.c.user_id)
    .outerjoin(user_groups, user_groups.c.id == project_members.c.group_id)
    .outerjoin(custom_roles, custom_roles.c.id == project_members.c.custom_role_id)
)


def set_member(connection: Connection, project: str, user: str, role: AnyRole) -> None:
    """Give a user a role, or another one. Raises Missing when one of the three is not there."""
    key = {"project_id": project_id(connection, project), "user_id": user_id(connection, user)}
    _set(connection, key, role)


def set_group_member(connection: Connection, project: str, group: int, role: AnyRole) -> None:
    """The same for a group, which exists. Raises Missing when the project or the role does not."""
    _set(connection, {"project_id": project_id(connection, project), "group_id": group}, role)


def _set(connection: Connection, key: dict[str, int], role: AnyRole) -> None:
    values = role_values(connection, role)
    if not insert_if_absent(connection, project_members, {**key, **values}):
        mine = and_(*(project_members.c[name] == value for name, value in key.items()))
        connection.execute(update(project_members).where(mine).values(**values))


def add_member(
    connection: Connection,
    project: int,
    role: AnyRole,
    *,
    user: int | None = None,
    group: int | None = None,
) -> int:
    """The id of the new member: one of ``user`` and ``group``, which exist. Raises Taken when they are
    a member, Missing when the role has gone."""
    column = project_members.c.user_id if group is None else project_members.c.group_id
    entity = user if group is None else group
    row = {"project_id": project, column.name: entity, **role_values(connection, role)}
    if not insert_if_absent(connection, project_members, row):
        kind = "user" if group is None else "group"
        raise Taken(f"the {kind} with the id {entity} is a member of the project already")
    found: int | None = connection.scalar(
        select(project_members.c.id).where(
            project_members.c.project_id == project, column == entity
        )
    )
    if found is None:
        raise Missing("the member has gone again")
    return found


def remove_member(connection: Connection, project: str, user: str) -> None:
    """Raises Missing when they are no member."""
    gone = connection.execute(
        delete(project_members)
        .where(
            project_members.c.project_id == project_id(connection, project),
            project_members.c.user_id == user_id(connection, user),
        )
        .returning(project_members.c.id)
    )
    if gone.first() is None:
        raise Missing(f"user {user!r} is no member of project {project!r}")


def remove_group_member(connection: Connection, project: str, group: Group) -> None:
    """Raises Missing when it is no member."""
    gone = connection.execute(
        delete(project_members)
        .where(
            project_members.c.project_id == project_id(connection, project),
            project_members.c.group_id == group.id,
        )
        .returning(project_members.c.id)
    )
    if gone.first() is None:
        raise Missing(f"group {group.name!r} is no member of project {project!r}")


def list_members(connection: Connection, project: str) -> list[Member]:
    """Users and groups by name. Raises Missing when there is no such project."""
    query = _MEMBER.where(project_members.c.project_id == project_id(connection, project))
    return [_member(row) for row in connection.execute(query.order_by(_NAME, project_members.c.id))]


def page_of_members(
    connection: Connection, project: int, listing: Listing
) -> tuple[list[Member], int]:
    """A page, by id, and how many there are. Raises UnusableValue."""
    query = _MEMBER.where(project_members.c.project_id == project)
    columns = {"entity_name": _NAME}
    rows, total = read_page(connection, query, columns, listing, [project_members.c.id])
    return [_member(row) for row in rows], total


def find_member(connection: Connection, project: int, id: int) -> Member | None:
    """One of the project's."""
    mine = (project_members.c.project_id == project) & (project_members.c.id == id)
    row = connection.execute(_MEMBER.where(mine)).one_or_none()
    return None if row is None else _member(row)


def change_member(connection: Connection, project: int, id: int, role: AnyRole | None) -> None:
    """Another role, or none: no member any more. Raises Missing."""
    mine = (project_members.c.project_id == project) & (project_members.c.id == id)
    statement = (
        delete(project_members).where(mine)
        if role is None
        else update(project_members).where(mine).values(**role_values(connection, role))
    )
    if connection.execute(statement.returning(project_members.c.id)).first() is None:
        raise Missing(f"there is no member with the id {id} in this project")


def count_members(connection: Connection, project: int) -> dict[Role, int]:
    """How many members have each of Harbor's roles."""
    query = (
        select(project_members.c.role, func.count())
        .where(project_members.c.project_id == project)
        .group_by(project_members.c.role)
    )
    found: dict[int, int] = {row[0]: row[1] for row in connection.execute(query)}
    return {role: found.get(role.value, 0) for role in Role}


def roles_in(
    connection: Connection, user: int, projects: Collection[int]
) -> dict[int, frozenset[AnyRole]]:
    """Project -> the roles of a user, own ones and those of groups; nothing where there is none."""
    groups = select(user_group_members.c.group_id).where(user_group_members.c.user_id == user)
    query = (
        select(project_members.c.project_id, *ROLE_COLUMNS)
        .outerjoin(custom_roles, custom_roles.c.id == project_members.c.custom_role_id)
        .where(
            project_members.c.project_id.in_(projects),
            or_(project_members.c.user_id == user, project_members.c.group_id.in_(groups)),
        )
    )
    found: dict[int, frozenset[AnyRole]] = {}
    for row in connection.execute(query):
        found[row.project_id] = found.get(row.project_id, frozenset()) | {role_of(row)}
    return found


def administers_a_project(connection: Connection, user: int) -> bool:
    """Whether a user, or a group of theirs, is project admin anywhere."""
    groups = select(user_group_members.c.group_id).where(user_group_members.c.user_id == user)
    query = select(project_members.c.id).where(
        project_members.c.role == Role.PROJECT_ADMIN.value,
        or_(project_members.c.user_id == user, project_members.c.group_id.in_(groups)),
    )
    return connection.execute(query.limit(1)).first() is not None


def _member(row: Any) -> Member:
    return Member(row.project, row.user or "", role_of(row), row.group or "", row.id, row.entity_id)
