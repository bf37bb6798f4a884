"""The audit log: of the whole registry, and of one project."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

from longshore.api.caller import Caller, Calling, InProject, in_project, in_system, somebody
from longshore.api.query import Page, Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import Moment, Router, Shape, moment
from longshore.audit import store
from longshore.audit.model import Row
from longshore.db.database import Connection
from longshore.identity import store as people
from longshore.identity.model import ROBOT
from longshore.identity.permissions import Permission

router = Router(tags=["auditlog"])

_LIST: Final = Permission("log", "list")
_WHOLE: Final = Permission("audit-log", "list")
_CHANGED: Final = (
    "access-token",
    "artifact",
    "configuration",
    "garbage-collection",
    "group",
    "label",
    "member",
    "project",
    "purge-audit",
    "quota",
    "repository",
    "repository-rule",
    "robot",
    "role",
    "session",
    "tag",
    "token",
    "token-key",
    "user",
)
#: What was done.
OPERATIONS: Final = ("create", "update", "delete", "pull", "login", "logout")
#: What events are about, as Harbor names it.
EVENT_TYPES: Final = (
    *(f"{operation}_{kind}" for kind in _CHANGED for operation in ("create", "update", "delete")),
    "pull_artifact",
    "login_user",
    "logout_user",
)


class AuditLog(Shape):
    """Who did what to which object."""

    id: int = 0
    username: str = ""
    resource: str = ""
    resource_type: str = ""
    operation: str = ""
    op_time: Moment


class AuditLogExt(AuditLog):
    """And with which result."""

    operation_description: str = ""
    operation_result: bool


class AuditLogEventType(Shape):
    """A kind of thing that the log tells of."""

    event_type: str = ""


@router.get("/audit-logs", dependencies=[somebody()])
async def list_audit_logs(page: Paged, caller: Calling, services: Serving) -> list[AuditLog]:
    """List what was done in the projects whose log the caller may see; administrators see everything."""
    return list(map(_plain, await _rows(page, services, caller, await _visible(caller, services))))


@router.get("/auditlog-exts", dependencies=[somebody()])
async def list_audit_log_exts(page: Paged, caller: Calling, services: Serving) -> list[AuditLogExt]:
    """The same, with results."""
    return list(
        map(_extended, await _rows(page, services, caller, await _visible(caller, services)))
    )


@router.get("/auditlog-exts/events", dependencies=[in_system("audit-log", "list")])
async def list_audit_log_event_types() -> list[AuditLogEventType]:
    """List what the log tells of."""
    return [AuditLogEventType(event_type=name) for name in EVENT_TYPES]


@router.get("/projects/{project}/logs")
async def get_logs(
    page: Paged,
    services: Serving,
    found: Annotated[InProject, in_project("log", "list")],
) -> list[AuditLog]:
    """List what was done in a project."""
    return list(map(_plain, await _rows(page, services, found.caller, [found.project.name])))


@router.get("/projects/{project}/auditlog-exts")
async def get_log_exts(
    page: Paged,
    services: Serving,
    found: Annotated[InProject, in_project("log", "list")],
) -> list[AuditLogExt]:
    """The same, with results."""
    return list(map(_extended, await _rows(page, services, found.caller, [found.project.name])))


async def _rows(page: Page, services: Services, caller: Caller, projects: "_Projects") -> list[Row]:
    # Nobody gets a log of millions of rows in one reply.
    listing = replace(page.listing, limit=page.listing.limit or 100)

    def work(connection: Connection) -> tuple[list[Row], int]:
        found = projects(connection) if callable(projects) else projects
        return store.page_of_entries(connection, listing, found, caller.view)

    found, total = await services.database.read(work)
    page.counted(total)
    return found


_Projects = Sequence[str] | Callable[[Connection], Any] | None
"""Projects by name, or by what makes a query for names; None: all, and what belongs to none."""


async def _visible(caller: Caller, services: Services) -> _Projects:
    """The projects whose log the caller may see."""
    if _WHOLE in caller.permissions:
        return None
    if caller.name.startswith(ROBOT):
        find = partial(people.find_robot, name=caller.name.removeprefix(ROBOT))
        robot = await services.database.read(find)
        given = robot.given if robot else ()
        return lambda _connection: people.projects_allowing_robot(given, _LIST)
    view, standing = caller.view, caller.standing
    if view.only is not None:
        # An access token for some projects; not many.
        names = sorted(view.only)
        return [name for name in names if _LIST in (await caller.before(name)).permissions]
    if standing.limited and _LIST not in (standing.most or ()):
        return []
    return partial(people.projects_allowing, view=view, needed=_LIST)


def _plain(row: Row) -> AuditLog:
    return AuditLog(
        id=row.id,
        username=row.actor,
        resource=row.resource,
        resource_type=row.resource_type,
        operation=row.operation,
        op_time=moment(row.at),
    )


def _extended(row: Row) -> AuditLogExt:
    return AuditLogExt(
        **_plain(row).model_dump(),
        operation_description=row.description,
        operation_result=row.successful,
    )
