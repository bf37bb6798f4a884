"""`longshore gc`: collect what is unused, beside running servers."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from longshore import migrations
from longshore.app import database_url, sealing
from longshore.background import collection_options, event_listeners
from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.output import note, show, size
from longshore.config.load import Configuration
from longshore.db.clock import database_time
from longshore.db.database import Connection, Database
from longshore.gc.offline import OfflineCollection, Report
from longshore.gc.store import mark
from longshore.gc.task import KIND, CollectionTask
from longshore.gc.unknown import AdoptionRunning, StorageUnknown
from longshore.jobs import queue
from longshore.jobs.foreground import WorkFailed, until_done
from longshore.outbox.recording import Outbox
from longshore.settings import load_configuration
from longshore.storage.configured import create_backends


def command(
    config: Annotated[
        Path | None, typer.Argument(help="config.yml of the registry; default: as `serve`.")
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-d", help="Only say what is unused, and what waits.")
    ] = False,
    delete_untagged: Annotated[
        bool | None,
        typer.Option(
            "--delete-untagged/--keep-untagged",
            "-m",
            help="Whether manifests that no tag reaches go; default: longshore.gc.deleteuntagged.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Collect what is unused, while servers go on. What is found unused now goes with the first run
    after longshore.gc.lease; what was found a lease ago and is still unused goes now."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    untagged = collection_options(configuration).delete_untagged
    if delete_untagged is not None:
        untagged = delete_untagged
    with _registry(configuration) as database:
        work = _look if dry_run else _collect
        document, text = asyncio.run(work(configuration, database, untagged))
    show(document, text, as_json=as_json)


@contextmanager
def _registry(configuration: Configuration) -> Iterator[Database]:
    database = Database(database_url(configuration), pool_size=4)
    database.open()
    try:
        migrations.upgrade(database)
        yield database
    finally:
        database.close()


async def _collect(
    configuration: Configuration, database: Database, delete_untagged: bool
) -> tuple[dict[str, Any], str]:
    backends = create_backends(configuration)
    await backends.open()
    try:
        job = await database.write(partial(_enqueue, delete_untagged=delete_untagged))
        keys = await asyncio.to_thread(sealing, configuration, database)
        outbox = Outbox(event_listeners(configuration, database, backends, keys))
        task = CollectionTask(database, backends, collection_options(configuration), outbox)
        log = await until_done(database, task, job, note)
    except WorkFailed as error:
        raise CommandFailed(str(error)) from error
    finally:
        await backends.close()
    return {"job": job, "log": log}, "\n".join(log)


def _enqueue(connection: Connection, delete_untagged: bool) -> int:
    payload = {"delete_untagged": delete_untagged}
    return queue.enqueue(connection, KIND, payload, now=database_time(connection), key="asked")


async def _look(
    configuration: Configuration, database: Database, delete_untagged: bool
) -> tuple[dict[str, Any], str]:
    backends = create_backends(configuration)
    await backends.open()
    try:
        run = OfflineCollection(
            database, backends, _quiet, dry_run=True, delete_untagged=delete_untagged
        )
        report = await run.run()
    except (AdoptionRunning, StorageUnknown) as error:
        raise CommandFailed(str(error)) from error
    finally:
        await backends.close()
    waiting = await database.read(mark.waiting)
    return {"unused": asdict(report), "waiting": asdict(waiting)}, _story(report, waiting)


def _quiet(_: str) -> None:
    """The lines that distribution's command prints are not wanted here."""


def _story(report: Report, waiting: mark.Waiting) -> str:
    return (
        f"unused: {report.blobs} blobs, {report.freed} bytes ({size(report.freed)}), "
        f"{report.links} links, {report.manifests} manifests; in use: {report.marked} blobs and manifests\n"
        f"of that, {waiting.blobs} blobs, {waiting.size} bytes ({size(waiting.size)}), were found before "
        "and wait for their lease or for the next run"
    )
