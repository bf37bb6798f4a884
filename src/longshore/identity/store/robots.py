"""Robots."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Select, Text, cast, delete, select, update

from longshore.db.listing import Listing, read_page
from longshore.identity.errors import Missing, Taken
from longshore.identity.model import View
from longshore.identity.robots import PROJECT, Given, Robot, from_document, to_document, view
from longshore.identity.tables import projects, robots
from longshore.registry.store.statements import insert_if_absent

#: As text, which is what is remembered by: hundreds of rights are not read anew for each request.
_RIGHTS: Final = cast(robots.c.permissions, Text)
_ROBOT: Select[Any] = select(
    *[column for column in robots.c if column.name != "permissions"],
    _RIGHTS.label("rights"),
    projects.c.name.label("project"),
).select_from(robots.outerjoin(projects, projects.c.id == robots.c.project_id))


def add_robot(
    connection: Connection,
    name: str,
    secret_hash: str,
    given: Sequence[Given],
    now: float,
    *,
    project_id: int | None = None,
    description: str = "",
    duration: int = -1,
    expires_at: float | None = None,
    disabled: bool = False,
    networks: Sequence[str] = (),
    creator_kind: str = "local",
    creator_id: int = 0,
) -> int:
    """The new robot's id. ``name`` is without the prefix. Raises Taken."""
    row = {
        "name": name,
        "project_id": project_id,
        "description": description,
        "permissions": to_document(given),
        "duration": duration,
        "disabled": disabled,
        "creator_kind": creator_kind,
        "creator_id": creator_id,
        "secret_hash": secret_hash,
        "expires_at": expires_at,
        "networks": list(networks),
        "created_at": now,
        "updated_at": now,
    }
    if not insert_if_absent(connection, robots, row):
        raise Taken(f"there is a robot {name!r} already")
    found: int = connection.execute(select(robots.c.id).where(robots.c.name == name)).scalar_one()
    return found


def find_robot(
    connection: Connection, *, id: int | None = None, name: str | None = None
) -> Robot | None:
    """By id, or by the name without its prefix."""
    condition = robots.c.name == name if id is None else robots.c.id == id
    row = connection.execute(_ROBOT.where(condition)).one_or_none()
    return None if row is None else _robot(row)


def list_robots(connection: Connection) -> list[Robot]:
    """All of them, by name."""
    return [_robot(row) for row in connection.execute(_ROBOT.order_by(robots.c.name))]


def page_of_robots(
    connection: Connection, listing: Listing, project_id: int | None
) -> tuple[list[Robot], int]:
    """A page of those of a project (None: of the registry), by name unless the listing says otherwise, and
    how many there are. Raises UnusableValue."""
    own = robots.c.project_id.is_(None) if project_id is None else robots.c.project_id == project_id
    columns = {
        "name": robots.c.name,
        "id": robots.c.id,
        "description": robots.c.description,
        "disabled": robots.c.disabled,
        "creation_time": robots.c.created_at,
        "update_time": robots.c.updated_at,
        "expires_at": robots.c.expires_at,
    }
    rows, total = read_page(connection, _ROBOT.where(own), columns, listing, [robots.c.name])
    return [_robot(row) for row in rows], total


def update_robot(connection: Connection, id: int, now: float, **values: Any) -> None:
    """Set columns; ``given`` are permissions. Raises Missing."""
    if "given" in values:
        values["permissions"] = to_document(values.pop("given"))
    statement = update(robots).where(robots.c.id == id).values(updated_at=now, **values)
    if connection.execute(statement.returning(robots.c.id)).first() is None:
        raise Missing(f"there is no robot with the id {id}")


def rotate_robot(
    connection: Connection, id: int, secret_hash: str, now: float, former_until: float | None
) -> None:
    """Give a robot a new secret; the one until now counts until ``former_until``, if that is given. Raises
    Missing."""
    former = robots.c.secret_hash if former_until is not None else None
    update_robot(
        connection,
        id,
        now,
        secret_hash=secret_hash,
        former_hash=former,
        former_until=former_until,
    )


def forget_project(connection: Connection, name: str, now: float) -> None:
    """Take what robots of the registry were given in the project of that name."""
    of_registry = robots.c.project_id.is_(None)
    query = _ROBOT.where(of_registry, _RIGHTS.contains(f'"{name}"', autoescape=True))
    for robot in [_robot(row) for row in connection.execute(query)]:
        left = [one for one in robot.given if (one.kind, one.namespace) != (PROJECT, name)]
        if len(left) < len(robot.given):
            update_robot(connection, robot.id, now, given=left)


def touch_robot(connection: Connection, id: int, now: float, address: str) -> None:
    """Note that it logged in."""
    statement = update(robots).where(robots.c.id == id)
    connection.execute(statement.values(last_used_at=now, last_used_from=address))


def remove_robot(connection: Connection, id: int) -> None:
    """Raises Missing."""
    statement = delete(robots).where(robots.c.id == id)
    if connection.execute(statement.returning(robots.c.id)).first() is None:
        raise Missing(f"there is no robot with the id {id}")


def _robot(row: Any) -> Robot:
    values = dict(row._mapping)
    given, seen = _read(values.pop("rights"))
    networks = tuple(values.pop("networks"))
    return Robot(**values, given=given, view=seen, networks=networks)


@lru_cache(1024)
def _read(rights: str) -> tuple[tuple[Given, ...], View]:
    given = from_document(json.loads(rights))
    return given, view(given)
