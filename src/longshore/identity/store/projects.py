"""Projects."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
    update,
)

from longshore.db.listing import Large, Listing, any_of, read_page
from longshore.identity.errors import Missing, StillNeeded, Taken
from longshore.identity.model import ANYWHERE, NOWHERE, Places, Project, Role, View
from longshore.identity.permissions import Permission
from longshore.identity.robots import Given, places
from longshore.identity.store.repository_rules import among, narrowed
from longshore.identity.store.robots import forget_project
from longshore.identity.store.roles import roles_with
from longshore.identity.store.users import user_id
from longshore.identity.tables import project_members, projects, user_group_members, users
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.tables import manifests, repositories
from longshore.telemetry import clock

#: Projects that a query names one by one.
_NAMED: Final = 1000
_READING: Final = (Permission("repository", "list"), Permission("repository", "pull"))
_PROJECT: Select[Any] = select(*projects.c, users.c.name.label("owner")).select_from(
    projects.outerjoin(users, users.c.id == projects.c.owner_id)
)


def add_project(
    connection: Connection,
    name: str,
    now: float,
    *,
    public: bool = False,
    owner: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> int:
    """The new project's id; its owner becomes a project admin. Raises Taken when there is one of that
    name, Missing when there is no such owner."""
    owner_id = None if owner is None else user_id(connection, owner)
    row: dict[str, Any] = {
        "name": name,
        "public": public,
        "metadata": dict(metadata or {}),
        "owner_id": owner_id,
        "created_at": now,
        "updated_at": now,
    }
    if not insert_if_absent(connection, projects, row):
        raise Taken(f"The project named {name} already exists")
    added = project_id(connection, name)
    if owner is not None:
        member = {"project_id": added, "user_id": owner_id, "role": Role.PROJECT_ADMIN.value}
        insert_if_absent(connection, project_members, member)
    return added


def has_project(connection: Connection) -> bool:
    """Whether there is any project."""
    return bool(connection.scalar(select(exists().where(projects.c.id.is_not(None)))))


def list_projects(connection: Connection) -> list[Project]:
    """Every project, by name."""
    query = _PROJECT.order_by(projects.c.name)
    return [_project(row) for row in connection.execute(query)]


def page_of_projects(
    connection: Connection, listing: Listing, view: View
) -> tuple[list[Project], int]:
    """A page of what is in ``view``, by name unless the listing says otherwise, and how many there are.
    Raises UnusableValue."""
    query = _PROJECT.where(_is_visible(connection, view, view.sees))
    columns = {
        "name": projects.c.name,
        "project_id": projects.c.id,
        "public": projects.c.public,
        "owner": users.c.name,
        "owner_id": projects.c.owner_id,
        "creation_time": projects.c.created_at,
        "update_time": projects.c.updated_at,
    }
    large = Large(_PROJECT, projects.c.id)
    rows, total = read_page(connection, query, columns, listing, [projects.c.name], large)
    return [_project(row) for row in rows], total


def find_project(
    connection: Connection, *, id: int | None = None, name: str | None = None
) -> Project | None:
    """By id or by name."""
    condition = projects.c.name == name if id is None else projects.c.id == id
    row = connection.execute(_PROJECT.where(condition)).one_or_none()
    return None if row is None else _project(row)


def visible_projects(connection: Connection, view: View) -> Select[Any]:
    """A query for ``name`` and ``public`` of what is in ``view``, for queries about what belongs to
    projects."""
    visible = _is_visible(connection, view, view.sees)
    return select(projects.c.name, projects.c.public).where(visible)


def projects_allowing(connection: Connection, view: View, needed: Permission) -> Select[Any]:
    """A query for the names of projects in which a role of the user of ``view`` gives ``needed``; of all projects if
    ``view`` is of everything."""
    names = select(projects.c.name)
    if view.sees == ANYWHERE:
        return names
    roles = [role.value for role in Role if needed in role.permissions]
    custom = roles_with(connection, [needed])
    allowing = or_(
        and_(project_members.c.custom_role_id.is_(None), project_members.c.role.in_(roles)),
        project_members.c.custom_role_id.in_(custom),
    )
    return names.where(_is_member(connection, view.user, allowing))


def projects_allowing_robot(given: Sequence[Given], needed: Permission) -> Select[Any]:
    """The same for a robot with the rights ``given``."""
    return select(projects.c.name).where(among(places(given, needed)))


def readable(
    connection: Connection, view: View
) -> tuple[ColumnElement[bool], ColumnElement[bool] | None]:
    """Whether the repository of a row is one that somebody with ``view`` may list and pull; and whether a row's
    project is one of those in which they may, where no rule says that they may only in a part of it, or in a part
    of another (otherwise None)."""
    if view.reads == ANYWHERE:
        return true(), true()
    visible = _is_visible(connection, view, view.reads, roles_with(connection, _READING))
    opened = repositories.c.namespace.in_(select(projects.c.name).where(visible))
    found = narrowed(connection, view, opened)
    return found, visible if found is opened else None


def readable_in(connection: Connection, view: View, *, listable: bool) -> ColumnElement[bool]:
    """The same within one project that has rules; ``listable``: whether what they have beside rules lets them list
    it."""
    return narrowed(connection, view, literal(listable))


def projects_named(connection: Connection, names: Collection[str]) -> dict[str, Project]:
    """Those of the projects that there are, by name."""
    rows = connection.execute(_PROJECT.where(any_of(connection, projects.c.name, names)))
    return {row.name: _project(row) for row in rows}


def count_repositories(
    connection: Connection, names: Collection[str], view: View
) -> dict[str, int]:
    """How many repositories that hold a manifest each of these projects has, without those that rules hide from
    somebody with ``view``."""
    holds_one = exists().where(manifests.c.repository_id == repositories.c.id)
    query = (
        select(repositories.c.namespace, func.count())
        .where(
            any_of(connection, repositories.c.namespace, names),
            holds_one,
            narrowed(connection, view, true()),
        )
        .group_by(repositories.c.namespace)
    )
    found = {row[0]: row[1] for row in connection.execute(query)}
    return {name: found.get(name, 0) for name in names}


def update_project(
    connection: Connection,
    id: int,
    *,
    public: bool | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """``metadata`` replaces all that was there. Raises Missing."""
    values: dict[str, Any] = {"updated_at": clock.timestamp()}
    if public is not None:
        values["public"] = public
    if metadata is not None:
        values["metadata"] = dict(metadata)
    statement = update(projects).where(projects.c.id == id).values(**values)
    if connection.execute(statement.returning(projects.c.id)).first() is None:
        raise Missing(f"there is no project with the id {id}")


def set_public(connection: Connection, name: str, public: bool) -> None:
    """Raises Missing when there is no such project."""
    update_project(connection, project_id(connection, name), public=public)


def remove_project(connection: Connection, name: str) -> None:
    """With it go members, robots, and what robots of the registry were given there: whoever makes one of that
    name later owes them nothing. Raises Missing when there is no such project, StillNeeded when it holds an
    image."""
    project = project_id(connection, name)
    found = first_repository(connection, name)
    if found is not None:
        raise StillNeeded(
            f"project {name!r} holds images, the first in repository {found!r}: remove them first"
        )
    forget_project(connection, name, clock.timestamp())
    connection.execute(delete(projects).where(projects.c.id == project))


def first_repository(connection: Connection, project: str) -> str | None:
    """A repository of the project that holds a manifest, if there is one."""
    holds_one = exists().where(manifests.c.repository_id == repositories.c.id)
    query = select(repositories.c.name).where(repositories.c.namespace == project, holds_one)
    name: str | None = connection.scalar(query.order_by(repositories.c.name).limit(1))
    return name


def project_id(connection: Connection, name: str) -> int:
    """Raises Missing when there is no such project."""
    found: int | None = connection.scalar(select(projects.c.id).where(projects.c.name == name))
    if found is None:
        raise Missing(f"there is no project {name!r}: see `longshore project list`")
    return found


def _is_visible(
    connection: Connection, view: View, own: Places, custom: Collection[int] | None = None
) -> ColumnElement[bool]:
    """Whether a project is public, in ``own``, or one of the user of ``view``; of custom roles, only those in
    ``custom`` count (None: all)."""
    if own == ANYWHERE:
        return true()
    found: list[ColumnElement[bool]] = [projects.c.public]
    if own != NOWHERE:
        found.append(among(own))
    if view.user is not None:
        role = project_members.c.custom_role_id
        counting = true() if custom is None else or_(role.is_(None), role.in_(custom))
        only = () if view.only is None else (projects.c.name.in_(view.only),)
        found.append(and_(_is_member(connection, view.user, counting), *only))
    return or_(*found)


def _is_member(
    connection: Connection, user: int | None, counting: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Whether a user is a member of a project, or one of their groups is, by a membership that is ``counting``."""
    if user is None:
        return false()
    own = select(project_members.c.project_id).where(project_members.c.user_id == user, counting)
    of_group = project_members.c.group_id == user_group_members.c.group_id
    in_groups = (
        select(project_members.c.project_id)
        .join(user_group_members, of_group)
        .where(user_group_members.c.user_id == user, counting)
    )
    # One after the other, each by an index: of both in one condition every membership would be looked at.
    member = own.union_all(in_groups)
    if connection.dialect.name == "sqlite":
        return projects.c.id.in_(member)
    # Of numbers the planner knows how many there are; of a query it takes half of all projects to be in it.
    ids = connection.scalars(member.limit(_NAMED + 1)).all()
    many = len(ids) > _NAMED
    return projects.c.id.in_(member) if many else any_of(connection, projects.c.id, ids)


def _project(row: Any) -> Project:
    return Project(
        row.id,
        row.name,
        row.public,
        row.owner,
        row.created_at,
        row.updated_at,
        row.owner_id,
        row.metadata or {},
    )
