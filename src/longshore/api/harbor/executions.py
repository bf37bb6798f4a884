"""Work in the background as Harbor's API has it: a schedule that administrators set, runs, their logs.

Harbor's ``src/server/v2.0/handler/gc.go`` and ``purge.go``.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal

from pydantic import Field

from longshore.api.caller import Caller
from longshore.api.errors import BadRequest, Conflict, NotFound
from longshore.api.query import Page
from longshore.api.services import Services
from longshore.api.wire import Moment, Shape, moment
from longshore.config.recurrence import Cron, Recurrence
from longshore.db.clock import database_time
from longshore.db.database import Connection
from longshore.jobs import queue, store
from longshore.jobs.model import Job, JobConflict, Status
from longshore.jobs.schedule import KEY, change
from longshore.telemetry import clock

#: The key of jobs that somebody asked for.
_ASKED: Final = "asked"
_STATUS: Final = {
    Status.QUEUED: "Pending",
    Status.RUNNING: "Running",
    Status.DONE: "Success",
    Status.DEAD: "Error",
    Status.CANCELLED: "Stopped",
}
#: Harbor's cron has seconds first.
_CRON: Final = {"Hourly": "0 0 * * * *", "Daily": "0 0 0 * * *", "Weekly": "0 0 0 * * 0"}
_FIELDS: Final = 6


class ScheduleObj(Shape):
    """When: Manual is now, None is never, Custom has a ``cron`` of six fields, of which the first is 0."""

    type: Literal["", "Hourly", "Daily", "Weekly", "Custom", "Manual", "None", "Schedule"] = ""
    cron: str = Field(default="", max_length=200)
    next_scheduled_time: Moment = ""


class Schedule(Shape):
    """When something is done, and how."""

    schedule: ScheduleObj | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class ExecHistory(Shape):
    """A run, or the schedule of those to come. ``job_parameters`` is a JSON object."""

    id: int = 0
    job_name: str = ""
    job_kind: str = ""
    job_parameters: str = ""
    schedule: ScheduleObj | None = None
    job_status: str = ""
    deleted: bool = False
    creation_time: Moment = ""
    update_time: Moment = ""

    @classmethod
    def of(cls, job: Job, name: str, parameters: Mapping[str, Any]) -> "ExecHistory":
        kind = "SCHEDULE" if job.key == KEY else "MANUAL"
        return cls(
            id=job.id,
            job_name=name,
            job_kind=kind,
            job_parameters=json.dumps(parameters),
            schedule=ScheduleObj(type="Schedule" if job.key == KEY else "Manual"),
            job_status=_STATUS[job.status],
            creation_time=moment(job.created_at),
            update_time=moment(job.finished_at or job.started_at or job.created_at),
        )

    @classmethod
    def to_come(cls, schedule: Schedule, name: str) -> "ExecHistory":
        """Those of a schedule."""
        return cls(
            job_name=name,
            job_kind="SCHEDULE",
            job_parameters=json.dumps(schedule.parameters),
            schedule=schedule.schedule,
        )


class Work:
    """One kind of it. ``name`` is Harbor's for its jobs."""

    def __init__(self, kind: str, name: str, resource_type: str) -> None:
        self.kind = kind
        self.name = name
        self._resource_type = resource_type

    async def begin(
        self,
        body: Schedule,
        payload: Mapping[str, Any],
        caller: Caller,
        services: Services,
        *,
        anew: bool,
    ) -> int | None:
        """Do what ``body`` says; the id of the job when it is to be done now. ``anew``: there must be no
        schedule yet. Raises BadRequest, Conflict."""
        wanted = body.schedule
        if wanted is None or not wanted.type:
            raise BadRequest(
                "schedule.type is missing: Manual, None, Hourly, Daily, Weekly or Custom"
            )
        if wanted.type == "Manual":
            return await self._now(payload, caller, services)
        cron = _cron(wanted)
        work = partial(change, kind=self.kind, cron=cron, payload=payload, anew=anew and bool(cron))
        try:
            await services.changes.make(
                work,
                "update",
                self._resource_type,
                "schedule",
                description=f"schedule: {cron or 'never'}",
                origin=caller.origin,
            )
        except JobConflict as error:
            raise Conflict("there is a schedule already: change it with PUT") from error
        return None

    async def _now(self, payload: Mapping[str, Any], caller: Caller, services: Services) -> int:
        """Raises Conflict when one that was asked for before has not ended and does something else."""

        def work(connection: Connection) -> int:
            now = database_time(connection)
            job = queue.enqueue(connection, self.kind, payload, now=now, key=_ASKED)
            found = store.find_job(connection, job)
            if found is not None and found.payload != payload:
                state = "is running" if found.status is Status.RUNNING else "waits for its turn"
                raise Conflict(
                    f"run {job}, which was asked for before, {state} and has other parameters, "
                    f"{json.dumps(found.payload)}: wait until it has ended, or stop it first"
                )
            return job

        return await services.changes.make(
            work, "create", self._resource_type, "run", origin=caller.origin
        )

    async def scheduled(self, services: Services, configured: Recurrence | None) -> Schedule | None:
        """When it is done from now on; None: never. ``configured`` is what config.yml says."""
        found = await services.database.read(partial(store.find_set_schedule, kind=self.kind))
        if found is None and configured is None:
            return None
        if found is not None:
            if not found.cron:
                return None
            following = Cron(found.cron).after(clock.timestamp())
            known = {cron: type for type, cron in _CRON.items()}
            return Schedule(
                schedule=ScheduleObj.model_validate(
                    {
                        "type": known.get(found.cron, "Custom"),
                        "cron": found.cron,
                        "next_scheduled_time": moment(following),
                    }
                ),
                parameters=dict(found.payload),
            )
        assert configured is not None  # noqa: S101 - one of the two, see above
        following = configured.after(clock.timestamp())
        told = ScheduleObj(
            type="Custom", cron=str(configured), next_scheduled_time=moment(following)
        )
        return Schedule(schedule=told)

    async def page(self, page: Page, services: Services) -> list[Job]:
        """Its runs."""

        def work(connection: Connection) -> tuple[list[Job], int]:
            now = database_time(connection)
            return store.page_of_jobs(connection, page.listing, self.kind, now)

        found, total = await services.database.read(work)
        page.counted(total)
        return found

    async def find(self, id: int, services: Services) -> Job:
        """One run. Raises NotFound."""
        found = await services.database.read(partial(store.find_job, job=id))
        if found is None or found.kind != self.kind:
            raise NotFound(f"there is no run with the id {id}")
        return found

    async def log(self, id: int, services: Services) -> str:
        """What a run said. Raises NotFound."""
        await self.find(id, services)
        lines = await services.database.read(partial(store.read_log, job=id))
        return "".join(f"{moment(line.at)} {line.line}\n" for line in lines)

    async def stop(self, id: int, caller: Caller, services: Services) -> None:
        """Cancel a run. Raises NotFound, BadRequest for one that has ended."""
        await self.find(id, services)
        try:
            await services.changes.make(
                partial(store.cancel_job, job=id),
                "update",
                self._resource_type,
                "run",
                description=f"run {id} is to stop",
                origin=caller.origin,
            )
        except JobConflict as error:
            raise BadRequest(str(error)) from error


def flag(parameters: Mapping[str, Any], name: str) -> bool:
    """A parameter that is true or false, false if it is not there. Raises BadRequest."""
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"parameters.{name} is {value!r:.60}; it should be true or false")
    return value


def _cron(wanted: ScheduleObj) -> str:
    """Six fields; empty: never."""
    if wanted.type == "None":
        return ""
    if wanted.type in _CRON:
        return _CRON[wanted.type]
    if wanted.type != "Custom":
        raise BadRequest(f"schedule.type is {wanted.type!r}: Hourly, Daily, Weekly, Custom or None")
    fields = wanted.cron.split()
    if len(fields) != _FIELDS or fields[0] != "0":
        raise BadRequest(
            f"schedule.cron is {wanted.cron[:100]!r}; six fields are needed, and the first, seconds, is 0: "
            "0 0 3 * * *"
        )
    try:
        return str(Cron(" ".join(fields)))
    except ValueError as error:
        raise BadRequest(f"schedule.cron: {error}") from error
