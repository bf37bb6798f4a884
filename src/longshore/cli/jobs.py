"""`longshore jobs`: see and steer what the registry does in the background."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import registry_database
from longshore.cli.output import note, show, table
from longshore.db.database import Connection, Database
from longshore.jobs import store
from longshore.jobs.model import Job, JobConflict, LogLine, Status
from longshore.settings import load_configuration

T = TypeVar("T")

app = typer.Typer(
    name="jobs",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="List the jobs of a registry, look at one, try it again, cancel it.",
)

_Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="config.yml of the registry; default: as `serve`."),
]
_Id = Annotated[int, typer.Argument(metavar="ID", help="Number of the job, as `list` shows it.")]

_COLUMNS: Final = ("ID", "KIND", "STATUS", "ATTEMPT", "AT", "PROGRESS")


@app.command(name="list")
def list_command(
    config: _Config = None,
    status: Annotated[Status | None, typer.Option(help="Only jobs of this status.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most jobs to list.")] = 50,
    as_json: options.Json = False,
) -> None:
    """List jobs, the newest first."""
    with _registry(config) as database:
        found = _read(database, partial(store.list_jobs, status=status, kind=kind, limit=limit))
    text = table(_COLUMNS, map(_row, found))
    show([_document(job) for job in found], text, as_json=as_json)


@app.command(name="show")
def show_command(job: _Id, config: _Config = None, as_json: options.Json = False) -> None:
    """Show one job with its log."""
    with _registry(config) as database:
        found = _read(database, partial(store.find_job, job=job))
        if found is None:
            raise _missing(job)
        log = _read(database, partial(store.read_log, job=job))
    document = {**_document(found), "log": [asdict(line) for line in log]}
    show(document, _page(found, log), as_json=as_json)


@app.command()
def retry(job: _Id, config: _Config = None) -> None:
    """Queue a dead or cancelled job again. It goes on from its last checkpoint."""
    with _registry(config) as database, _explained():
        if not _write(database, partial(store.retry_job, job=job)):
            raise _missing(job)
    note(f"job {job} is queued again")


@app.command()
def cancel(job: _Id, config: _Config = None) -> None:
    """Cancel a job. One that runs stops at the next heartbeat of its worker."""
    with _registry(config) as database, _explained():
        status = _write(database, partial(store.cancel_job, job=job))
    if status is None:
        raise _missing(job)
    running = status is Status.RUNNING
    note(f"job {job} {'stops at its next heartbeat' if running else 'is cancelled'}")


@contextmanager
def _registry(config: Path | None) -> Iterator[Database]:
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    with registry_database(configuration) as database:
        yield database


def _read(database: Database, work: Callable[[Connection], T]) -> T:
    return asyncio.run(database.read(work))


def _write(database: Database, work: Callable[[Connection], T]) -> T:
    return asyncio.run(database.write(work))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except JobConflict as error:
        raise CommandFailed(str(error)) from error


def _missing(job: int) -> CommandFailed:
    return CommandFailed(f"there is no job {job}: see `longshore jobs list`")


def _document(job: Job) -> dict[str, Any]:
    """What programs get: times as in the database, POSIX seconds."""
    hidden = ("token", "checkpoint")
    return {name: value for name, value in asdict(job).items() if name not in hidden}


def _row(job: Job) -> tuple[str, ...]:
    at = job.finished_at or (job.started_at if job.status is Status.RUNNING else job.run_at)
    return (
        str(job.id),
        job.kind,
        job.status.value,
        str(job.attempt),
        _time(at),
        _progress(job) or job.error or "",
    )


def _page(job: Job, log: list[LogLine]) -> str:
    fields = {
        "job": f"{job.id} ({job.kind})",
        "status": job.status.value,
        "key": job.key,
        "payload": job.payload or None,
        "attempt": str(job.attempt),
        "progress": _progress(job),
        "error": job.error,
        "created": _time(job.created_at),
        "runs at": _time(job.run_at) if job.status is Status.QUEUED else None,
        "started": _time(job.started_at),
        "finished": _time(job.finished_at),
        "cancelled": _time(job.cancel_at),
        "worker": job.holder,
    }
    lines = [f"{name + ':':<10} {value}" for name, value in fields.items() if value]
    return "\n".join([*lines, *(f"{_time(line.at)}  {line.line}" for line in log)])


def _progress(job: Job) -> str:
    if job.progress_done is None:
        return ""
    of = f"/{job.progress_total}" if job.progress_total is not None else ""
    return f"{job.progress_done}{of} {job.progress_message or ''}".rstrip()


def _time(at: float | None) -> str:
    if at is None:
        return ""
    return datetime.fromtimestamp(at, UTC).isoformat(" ", "seconds").removesuffix("+00:00") + "Z"
