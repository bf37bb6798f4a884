"""`longshore audit`: who did what, and whether that was tampered with."""

import asyncio
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

import typer

from longshore.app import sealing
from longshore.audit import store
from longshore.audit.exporting import Export
from longshore.audit.forwarding import kind_of, waiting
from longshore.audit.model import Search
from longshore.audit.retention import remove_older
from longshore.audit.settings import AuditSettings
from longshore.audit.verification import verify as verify_log
from longshore.cli import options
from longshore.cli.metadata import Config, Metadata, opened, registry_database
from longshore.cli.output import note, show, table
from longshore.db.database import Connection
from longshore.jobs import store as job_store
from longshore.settings import load_configuration
from longshore.telemetry import clock

app = typer.Typer(
    name="audit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="See, verify and export the audit log.",
)

_DAY: Final = 86400.0
_COLUMNS: Final = ("id", "time", "who", "from", "operation", "type", "resource", "result")
Moment = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
]


@app.command("list")
def list_rows(
    *,
    user: Annotated[str, typer.Option("--user", help="Only what this user did.")] = "",
    operation: Annotated[
        str, typer.Option("--operation", help="create, update, delete, pull, login or logout.")
    ] = "",
    resource_type: Annotated[
        str, typer.Option("--type", help="artifact, tag, project, user and so on.")
    ] = "",
    project: Annotated[str, typer.Option("--project", help="Only what belongs to it.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only what was refused.")] = False,
    since: Moment = None,
    until: Moment = None,
    text: Annotated[
        str, typer.Option("--text", help="In the resource, the description or the user's name.")
    ] = "",
    before: Annotated[
        int | None, typer.Option("--before", help="Only rows before this id: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000)] = 50,
    config: Config = None,
    as_json: options.Json = False,
) -> None:
    """List what was done, the newest first. Times are UTC."""
    wanted = Search(
        actor=user,
        operation=operation,
        resource_type=resource_type,
        project=project,
        successful=False if failed else None,
        since=_posix(since),
        until=_posix(until),
        text=text,
        before=before,
    )
    with opened(config) as metadata:
        rows = metadata.read(partial(store.search, wanted=wanted, limit=limit))
    lines = [
        (
            str(row.id),
            _moment(row.at),
            row.actor or "-",
            row.address or "-",
            row.operation,
            row.resource_type,
            row.resource,
            "done" if row.successful else "refused",
        )
        for row in rows
    ]
    show([row.to_json() for row in rows], table(_COLUMNS, lines), as_json=as_json)


@app.command()
def verify(config: Config = None, *, as_json: options.Json = False) -> None:
    """Read the whole log and say which rows were changed, added, removed or moved. Exit code 1 if any."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    with registry_database(configuration) as database:
        keys = sealing(configuration, database)
        found = Metadata(database).read(partial(verify_log, sealing=keys))
    lines = list(found.problems) or [
        f"{found.rows} rows, {found.first} to {found.last}: all as they were written"
    ]
    if not found.guarded:
        lines.append(
            "some rows are sealed with a key that the database itself holds: whoever writes to the "
            "database could have made them anew. Set longshore.audit.sealkey"
        )
    show(asdict(found), "\n".join(lines), as_json=as_json)
    if found.problems:
        raise typer.Exit(1)


@app.command()
def export(
    config: Config = None,
    *,
    after: Annotated[
        int,
        typer.Option("--after", help="Only rows behind this id, such as the last one exported."),
    ] = 0,
    since: Moment = None,
    until: Moment = None,
) -> None:
    """Write the log to standard output, one JSON object a line, the oldest first. Times are UTC."""
    left = Export(after, since=_posix(since), until=_posix(until))
    with opened(config) as metadata:
        left = metadata.read(left.begun)
        while True:
            text, left = metadata.read(left.next)
            if not text:
                return
            sys.stdout.write(text.decode())


@app.command()
def receivers(config: Config = None, *, as_json: options.Json = False) -> None:
    """List who is sent the log (longshore.audit.forward), how far each got, and what went wrong last."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    settings = configuration[AuditSettings]
    with registry_database(configuration) as database:
        found = Metadata(database).read(partial(_progress, settings=settings))
    lines = [
        (one["name"], one["url"], str(one["last_id"]), str(one["waiting"]), one["problem"])
        for one in found
    ]
    show(found, table(("name", "to", "has", "waiting", "problem"), lines), as_json=as_json)


def _progress(connection: Connection, settings: AuditSettings) -> list[dict[str, Any]]:
    names = settings.receivers
    had, lacking = store.forwarded_through(connection, names), waiting(connection, names)
    problems = {name: _problem(connection, name) for name in names}
    return [
        {
            "name": one.name,
            "url": one.place,
            "last_id": had[one.name],
            "waiting": lacking[one.name],
            "problem": problems[one.name],
        }
        for one in settings.forward
    ]


def _problem(connection: Connection, receiver: str) -> str:
    """What the job said that waits to be tried again."""
    found = job_store.list_jobs(connection, status=None, kind=kind_of(receiver), limit=1)
    return next((job.error for job in found if job.error), "")


@app.command()
def purge(
    days: Annotated[
        float, typer.Option("--older-than", min=0, metavar="DAYS", help="Remove what is older.")
    ],
    config: Config = None,
) -> None:
    """Remove the oldest rows, but none that a receiver (longshore.audit.forward) has not had. What is left still
    verifies."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    with registry_database(configuration) as database:
        keys = sealing(configuration, database)
        before = clock.timestamp() - days * _DAY
        receivers = configuration[AuditSettings].receivers
        removed = asyncio.run(remove_older(database, keys, before, receivers))
    note(f"{removed} rows were removed")


def _posix(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
