"""Garbage collection: now, by a schedule, and what runs found."""

from typing import Any, Final

from fastapi.responses import PlainTextResponse
from starlette.responses import Response

from longshore.api.caller import Calling, in_system
from longshore.api.errors import BadRequest
from longshore.api.harbor.executions import ExecHistory, Schedule, Work, flag
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import JSON_REFUSALS, Empty, Id, Router, created
from longshore.gc.settings import CollectionSettings
from longshore.gc.task import KIND
from longshore.jobs.model import Job

router = Router(tags=["gc"])

_WORK: Final = Work(KIND, "GARBAGE_COLLECTION", "garbage-collection")
_SCHEDULE: Final = "/system/gc/schedule"
_MOST_WORKERS: Final = 10


@router.get(_SCHEDULE, dependencies=[in_system("garbage-collection", "read")])
async def get_gc_schedule(services: Serving) -> ExecHistory:
    """Get when it is collected; an object without anything where it is not."""
    found = await _WORK.scheduled(services, services.configuration[CollectionSettings].schedule)
    return ExecHistory() if found is None else ExecHistory.to_come(found, _WORK.name)


@router.post(
    _SCHEDULE,
    status_code=201,
    response_class=Empty,
    dependencies=[in_system("garbage-collection", "create")],
)
async def create_gc_schedule(body: Schedule, caller: Calling, services: Serving) -> Empty:
    """Collect now (Manual), or set a schedule where there is none."""
    job = await _WORK.begin(body, _payload(body), caller, services, anew=True)
    return created(f"/api/v2.0/system/gc/{job}" if job else f"/api/v2.0{_SCHEDULE}")


@router.put(
    _SCHEDULE, response_class=Empty, dependencies=[in_system("garbage-collection", "update")]
)
async def update_gc_schedule(body: Schedule, caller: Calling, services: Serving) -> Empty:
    """Set the schedule; None ends it, also one of config.yml."""
    await _WORK.begin(body, _payload(body), caller, services, anew=False)
    return Empty()


@router.get("/system/gc", dependencies=[in_system("garbage-collection", "list")])
async def get_gc_history(page: Paged, services: Serving) -> list[ExecHistory]:
    """List runs, the newest first."""
    return [_shown(job, services) for job in await _WORK.page(page, services)]


@router.get("/system/gc/{gc_id}", dependencies=[in_system("garbage-collection", "read")])
async def get_gc(gc_id: Id, services: Serving) -> ExecHistory:
    """Get a run."""
    return _shown(await _WORK.find(gc_id, services), services)


@router.put(
    "/system/gc/{gc_id}",
    response_class=Empty,
    dependencies=[in_system("garbage-collection", "stop")],
)
async def stop_gc(gc_id: Id, caller: Calling, services: Serving) -> Empty:
    """Stop a run; what it has removed is gone."""
    await _WORK.stop(gc_id, caller, services)
    return Empty()


@router.get(
    "/system/gc/{gc_id}/log",
    response_class=PlainTextResponse,
    responses={**JSON_REFUSALS},
    dependencies=[in_system("garbage-collection", "read")],
)
async def get_gc_log(gc_id: Id, services: Serving) -> Response:
    """Get what a run said."""
    return PlainTextResponse(await _WORK.log(gc_id, services))


def _payload(body: Schedule) -> dict[str, Any]:
    """``workers`` is Harbor's; here the rate of longshore.gc says how fast it goes."""
    workers = body.parameters.get("workers", 1)
    if not isinstance(workers, int) or not 1 <= workers <= _MOST_WORKERS:
        raise BadRequest(
            f"parameters.workers is {workers!r:.60}; it should be 1 to {_MOST_WORKERS}"
        )
    payload: dict[str, Any] = {"dry_run": flag(body.parameters, "dry_run")}
    if "delete_untagged" in body.parameters:
        payload["delete_untagged"] = flag(body.parameters, "delete_untagged")
    return payload


def _shown(job: Job, services: Services) -> ExecHistory:
    default = services.configuration[CollectionSettings].deleteuntagged
    parameters = {
        "delete_untagged": job.payload.get("delete_untagged", default),
        "dry_run": bool(job.payload.get("dry_run")),
    }
    return ExecHistory.of(job, _WORK.name, parameters)
