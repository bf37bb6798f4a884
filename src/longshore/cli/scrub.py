"""`longshore scrub`: read stored bytes again and verify them, beside running servers."""

import asyncio
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from longshore import migrations
from longshore.app import database_url
from longshore.background import scrub_options
from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.output import note, show
from longshore.config.load import Configuration
from longshore.db.clock import database_time
from longshore.db.database import Connection, Database
from longshore.jobs import queue
from longshore.jobs import store as job_store
from longshore.jobs.foreground import WorkFailed, until_done
from longshore.oci.digest import Digest
from longshore.scrub.model import Tally
from longshore.scrub.task import KIND, ScrubTask
from longshore.settings import load_configuration
from longshore.storage.configured import create_backends


def command(
    digests: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only these blobs and manifests: sha256:...; default: all that is due."
        ),
    ] = None,
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="config.yml of the registry; default: as `serve`."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what was verified not long ago.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Read stored bytes again and compare them with their digests, while servers go on. What is bad
    is no longer served, until it is pushed again. Exit code 1 when something is bad or unreadable."""
    wanted = [Digest(digest) for digest in digests or ()]
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    database = Database(database_url(configuration), pool_size=4)
    database.open()
    try:
        migrations.upgrade(database)
        work = _scrub(configuration, database, wanted, everything)
        job, log, tally = asyncio.run(work)
    finally:
        database.close()
    show({"job": job, "log": log, **asdict(tally)}, "\n".join(log), as_json=as_json)
    if tally.quarantined or tally.unreadable:
        raise typer.Exit(1)


async def _scrub(
    configuration: Configuration, database: Database, digests: list[Digest], everything: bool
) -> tuple[int, list[str], Tally]:
    payload: dict[str, Any] = {"digests": digests} if digests else {"all": everything}
    backends = create_backends(configuration)
    await backends.open()
    try:
        job = await database.write(partial(_enqueue, payload=payload))
        task = ScrubTask(database, backends, scrub_options(configuration))
        log = await until_done(database, task, job, note)
        found = await database.read(partial(job_store.find_job, job=job))
    except WorkFailed as error:
        raise CommandFailed(str(error)) from error
    finally:
        await backends.close()
    state = found.checkpoint if found else None
    return job, log, Tally(**state["tally"]) if state else Tally()


def _enqueue(connection: Connection, payload: dict[str, Any]) -> int:
    # One that is asked for in general is asked for once; particular digests are always looked at.
    key = None if "digests" in payload else "all" if payload["all"] else "asked"
    return queue.enqueue(connection, KIND, payload, now=database_time(connection), key=key)
