"""Who somebody is before a project: what every request of the registry asks."""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, and_, bindparam, exists, literal, or_, select

from longshore.identity import access_tokens, credentials, robots
from longshore.identity.access_tokens import AccessToken
from longshore.identity.model import MARK, ROBOT, AnyRole, Standing
from longshore.identity.robots import Robot
from longshore.identity.store.access_tokens import find_access_token
from longshore.identity.store.repository_rules import rules_for
from longshore.identity.store.robots import find_robot
from longshore.identity.store.roles import ROLE_COLUMNS, role_of
from longshore.identity.tables import (
    custom_roles,
    project_members,
    projects,
    repository_rules,
    user_group_members,
    users,
)
from longshore.telemetry import clock

_ONE: Final = select(literal(1).label("one")).subquery()
_GROUPS: Final = (
    select(user_group_members.c.group_id)
    .where(user_group_members.c.user_id == users.c.id)
    .correlate(users)
    .scalar_subquery()
)
#: Whether the project has rules: most have none, and then nobody looks for them.
_RULED: Final = (
    exists()
    .where(repository_rules.c.project_id == projects.c.id)
    .correlate(projects)
    .label("ruled")
)
#: A row for each role that the user has, one if there is none: also when there is no user or project.
#: All by unique indexes.
_STANDING: Final = select(
    users.c.password_hash,
    users.c.id,
    users.c.is_admin,
    users.c.disabled,
    users.c.generation,
    users.c.second_factor,
    projects.c.id,
    projects.c.public,
    _RULED,
    *ROLE_COLUMNS,
).select_from(
    _ONE.outerjoin(users, users.c.name == bindparam("user"))
    .outerjoin(projects, projects.c.name == bindparam("project"))
    .outerjoin(
        project_members,
        and_(
            project_members.c.project_id == projects.c.id,
            or_(
                project_members.c.user_id == users.c.id,
                project_members.c.group_id.in_(_GROUPS),
            ),
        ),
    )
    .outerjoin(custom_roles, custom_roles.c.id == project_members.c.custom_role_id)
)


_MEMBERSHIP: Final = and_(
    project_members.c.project_id == projects.c.id,
    or_(
        project_members.c.user_id == bindparam("user_id"),
        project_members.c.group_id.in_(
            select(user_group_members.c.group_id).where(
                user_group_members.c.user_id == bindparam("user_id")
            )
        ),
    ),
)
#: The same of several projects, a row for each role, one for a project without.
_STANDINGS: Final = (
    select(projects.c.id, projects.c.name, projects.c.public, _RULED, *ROLE_COLUMNS)
    .select_from(
        projects.outerjoin(project_members, _MEMBERSHIP).outerjoin(
            custom_roles, custom_roles.c.id == project_members.c.custom_role_id
        )
    )
    .where(projects.c.name.in_(bindparam("among", expanding=True)))
)


def seal(user_id: int, password_hash: str | None, generation: int) -> str:
    """What changes when the password or the generation does, and for a later user of the same name; hashes
    have salts."""
    later = f":{generation}" if generation else ""
    return hashlib.sha256(f"{user_id}:{password_hash}{later}".encode()).hexdigest()[:16]


def standing(connection: Connection, user: str, project: str, now: float | None = None) -> Standing:
    """Somebody before ``project`` at ``now`` (POSIX seconds; None: now); either may be empty or unknown.
    ``user`` is the name of a user, of a robot (``robot+ci``), or of a user's access token (``name#12``)."""
    at = clock.timestamp() if now is None else now
    if user.startswith(ROBOT):
        place = replace(_of_user(connection, "", project), user=user)
        return _of_robot(place, find_robot(connection, name=user.removeprefix(ROBOT)), at)
    person, token = _token(connection, user)
    if token is None:
        return _of_user(connection, user, project)
    whole = _of_user(connection, person, project)
    if not token.covers(project):  # there it is nobody's
        whole = replace(whole, rules=_of_user(connection, "", project).rules)
    return access_tokens.limited(whole, token, at)


def standings(
    connection: Connection, user: str, among: Collection[str], now: float | None = None
) -> dict[str, Standing]:
    """The same before each of the projects ``among``, by a few questions however many they are."""
    at = clock.timestamp() if now is None else now
    if user.startswith(ROBOT):
        robot = find_robot(connection, name=user.removeprefix(ROBOT))
        places = _of_user_before(connection, "", among)
        return {
            name: _of_robot(replace(place, user=user), robot, at) for name, place in places.items()
        }
    person, token = _token(connection, user)
    if token is None:
        return _of_user_before(connection, user, among)
    found = _of_user_before(connection, person, among)
    outside = [name for name in among if not token.covers(name)]
    for name, place in _of_user_before(connection, "", outside).items() if outside else ():
        found[name] = replace(found[name], rules=place.rules)
    return {name: access_tokens.limited(one, token, at) for name, one in found.items()}


def _token(connection: Connection, user: str) -> tuple[str, AccessToken | None]:
    """Whose access token ``user`` names, and which; no user has the name of one that is not there."""
    person, mark, number = user.partition(MARK)
    if not mark or not number.isdigit():
        return user, None
    return person, find_access_token(connection, person, int(number))


def _of_robot(place: Standing, robot: Robot | None, now: float) -> Standing:
    """A robot in ``place``, which is that of nobody."""
    if robot is None:
        return place
    former = robot.former(now)
    given = robots.rights(robot.given, place.project) if place.exists else frozenset()
    return replace(
        place,
        seal=credentials.seal(robots.KIND, robot.id, robot.secret_hash),
        former_seal=credentials.seal(robots.KIND, robot.id, former) if former else "",
        disabled=robot.disabled,
        expired=robot.expired(now),
        given=given,
        system=robots.system_rights(robot.given),
        networks=credentials.parsed(robot.networks),
        view=robot.view,
        # It is no member, but its right to pull is written down where it has it.
        rules=() if robots.PULL in given else place.rules,
        changes_at=access_tokens.changes_at(robot, now),
    )


def _of_user(connection: Connection, user: str, project: str) -> Standing:
    rows = connection.execute(_STANDING, {"user": user, "project": project}).all()
    row = rows[0]
    hashed, user_id, is_admin, disabled, generation, second_factor = row[:6]
    project_id, public, ruled = row[6:9]
    roles = frozenset(role_of(row) for row in rows if row.role is not None)
    which = [project_id] if public else []
    bound = {project_id: roles} if ruled and not is_admin else {}
    rules = rules_for(connection, user_id or 0, bound, which) if bound else {}
    return Standing(
        user,
        project,
        seal(user_id, hashed, generation) if user_id is not None else "",
        user_id or 0,
        bool(is_admin),
        bool(disabled),
        project_id is not None,
        bool(public),
        roles,
        second_factor=bool(second_factor),
        rules=rules.get(project_id, ()),
    )


def _of_user_before(
    connection: Connection, user: str, among: Collection[str]
) -> dict[str, Standing]:
    nowhere = _of_user(connection, user, "")
    found = {name: replace(nowhere, project=name) for name in among}
    rows = connection.execute(_STANDINGS, {"user_id": nowhere.user_id, "among": list(among)}).all()
    roles: dict[int, set[AnyRole]] = {row.id: set() for row in rows}
    for row in rows:
        if row.role is not None:
            roles[row.id].add(role_of(row))
    public = [row.id for row in rows if row.public]
    bound = {row.id: roles[row.id] for row in rows if row.ruled and not nowhere.is_admin}
    rules = rules_for(connection, nowhere.user_id, bound, public) if bound else {}
    for row in rows:
        found[row.name] = replace(
            nowhere,
            project=row.name,
            exists=True,
            public=row.public,
            roles=frozenset(roles[row.id]),
            rules=rules.get(row.id, ()),
        )
    return found
