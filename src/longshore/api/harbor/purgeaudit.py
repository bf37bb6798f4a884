"""Removing old rows of the audit log: now, by a schedule, and what runs did."""

from typing import Any, Final

from fastapi.responses import PlainTextResponse
from starlette.responses import Response

from longshore.api.caller import Calling, in_system
from longshore.api.errors import BadRequest
from longshore.api.harbor.auditlog import EVENT_TYPES, OPERATIONS
from longshore.api.harbor.executions import ExecHistory, Schedule, Work, flag
from longshore.api.query import Paged
from longshore.api.services import Serving
from longshore.api.wire import JSON_REFUSALS, Empty, Id, Router, created
from longshore.audit.purge import EVERYTHING, KIND, Purge
from longshore.jobs.model import Job

router = Router(tags=["purge"])

_WORK: Final = Work(KIND, "PURGE_AUDIT_LOG", "purge-audit")
_SCHEDULE: Final = "/system/purgeaudit/schedule"
_MOST_HOURS: Final = 24 * 36500


@router.get(_SCHEDULE, dependencies=[in_system("purge-audit", "read")])
async def get_purge_schedule(services: Serving) -> ExecHistory:
    """Get when old rows are removed beside longshore.audit.retention; an object without anything where they are
    not."""
    found = await _WORK.scheduled(services, None)
    if found is None:
        return ExecHistory()
    found.parameters = _parameters(Purge.from_payload(found.parameters))
    return ExecHistory.to_come(found, _WORK.name)


@router.post(
    _SCHEDULE,
    status_code=201,
    response_class=Empty,
    dependencies=[in_system("purge-audit", "create")],
)
async def create_purge_schedule(body: Schedule, caller: Calling, services: Serving) -> Empty:
    """Remove old rows now (Manual), or set a schedule where there is none."""
    job = await _WORK.begin(body, _payload(body), caller, services, anew=True)
    return created(f"/api/v2.0/system/purgeaudit/{job}" if job else f"/api/v2.0{_SCHEDULE}")


@router.put(_SCHEDULE, response_class=Empty, dependencies=[in_system("purge-audit", "update")])
async def update_purge_schedule(body: Schedule, caller: Calling, services: Serving) -> Empty:
    """Set the schedule; None ends it."""
    await _WORK.begin(body, _payload(body), caller, services, anew=False)
    return Empty()


@router.get("/system/purgeaudit", dependencies=[in_system("purge-audit", "list")])
async def get_purge_history(page: Paged, services: Serving) -> list[ExecHistory]:
    """List runs, the newest first."""
    return [_shown(job) for job in await _WORK.page(page, services)]


@router.get("/system/purgeaudit/{purge_id}", dependencies=[in_system("purge-audit", "read")])
async def get_purge_job(purge_id: Id, services: Serving) -> ExecHistory:
    """Get a run."""
    return _shown(await _WORK.find(purge_id, services))


@router.put(
    "/system/purgeaudit/{purge_id}",
    response_class=Empty,
    dependencies=[in_system("purge-audit", "stop")],
)
async def stop_purge(purge_id: Id, caller: Calling, services: Serving) -> Empty:
    """Stop a run; what it has removed is gone."""
    await _WORK.stop(purge_id, caller, services)
    return Empty()


@router.get(
    "/system/purgeaudit/{purge_id}/log",
    response_class=PlainTextResponse,
    responses={**JSON_REFUSALS},
    dependencies=[in_system("purge-audit", "read")],
)
async def get_purge_job_log(purge_id: Id, services: Serving) -> Response:
    """Get what a run said."""
    return PlainTextResponse(await _WORK.log(purge_id, services))


def _payload(body: Schedule) -> dict[str, Any]:
    """Raises BadRequest."""
    if body.schedule is not None and body.schedule.type == "None":
        return {}
    hours = body.parameters.get("audit_retention_hour")
    if isinstance(hours, bool) or not isinstance(hours, int) or not 1 <= hours <= _MOST_HOURS:
        raise BadRequest(
            f"parameters.audit_retention_hour is {hours!r:.60}; it should be a number of hours, 1 to {_MOST_HOURS}"
        )
    return Purge(hours, _kinds(body), flag(body.parameters, "dry_run")).to_payload()


def _kinds(body: Schedule) -> tuple[str, ...]:
    """What kinds of rows may go; Harbor named operations once. Raises BadRequest."""
    given = body.parameters
    listed = given.get("include_event_types") or given.get("include_operations") or EVERYTHING
    if not isinstance(listed, str):
        raise BadRequest(
            "parameters.include_event_types should be text: create_artifact,pull_artifact"
        )
    kinds = tuple(dict.fromkeys(word.strip() for word in listed.split(",") if word.strip()))
    known = {EVERYTHING, *OPERATIONS, *EVENT_TYPES}
    unknown = [kind for kind in kinds if kind not in known]
    if unknown or not kinds:
        what = f"names {unknown[0]!r:.60}" if unknown else "names nothing"
        raise BadRequest(
            f"parameters.include_event_types {what}: GET /auditlog-exts/events lists what there is; "
            f"{EVERYTHING} is everything, {', '.join(OPERATIONS)} all of that operation"
        )
    return kinds


def _shown(job: Job) -> ExecHistory:
    return ExecHistory.of(job, _WORK.name, _parameters(Purge.from_payload(job.payload)))


def _parameters(purge: Purge) -> dict[str, Any]:
    return {
        "audit_retention_hour": purge.hours,
        "include_event_types": ",".join(purge.kinds),
        "dry_run": purge.dry_run,
    }
