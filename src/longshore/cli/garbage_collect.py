"""`longshore garbage-collect`: give back the bytes that nothing refers to."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from longshore import migrations
from longshore.app import database_url
from longshore.cli.failure import CommandFailed
from longshore.config.load import Configuration
from longshore.db import occupancy
from longshore.db.database import Database
from longshore.gc.offline import OfflineCollection, Report
from longshore.gc.unknown import AdoptionRunning, StorageUnknown
from longshore.settings import load_configuration
from longshore.storage.configured import create_backends


def command(
    config: Annotated[
        Path | None, typer.Argument(help="config.yml of the registry; default: as `serve`.")
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-d", help="Only say what would be removed.")
    ] = False,
    delete_untagged: Annotated[
        bool,
        typer.Option(
            "--delete-untagged",
            "-m",
            help="Remove manifests that no tag reaches, also not through an index or a subject.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the last line only.")] = False,
) -> None:
    """Remove blobs that no manifest refers to. The registry must be stopped, or read-only."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    database = Database(database_url(configuration), pool_size=2)
    database.open()
    try:
        migrations.upgrade(database)
        with occupancy.alone(database):
            report = asyncio.run(_collect(configuration, database, dry_run, delete_untagged, quiet))
    except occupancy.Occupied as error:
        raise CommandFailed(
            "a server is accepting pushes to this registry, and a push that meets a collection may "
            "lose its blobs. Stop the server, or restart it with "
            "REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED=true meanwhile"
        ) from error
    except (AdoptionRunning, StorageUnknown) as error:
        raise CommandFailed(f"nothing was removed: {error}") from error
    finally:
        database.close()
    typer.echo(
        f"{report.marked} blobs marked, {report.blobs} blobs and {report.manifests} manifests "
        f"eligible for deletion"
        + (f" ({report.freed} bytes)" if dry_run else f"; {report.freed} bytes freed")
    )
    if report.failed:
        raise CommandFailed(
            f"storage refused to delete {report.failed} blobs; everything else was done. Run it again "
            "without --quiet to see which and why, and again when the cause is gone"
        )


async def _collect(
    configuration: Configuration,
    database: Database,
    dry_run: bool,
    delete_untagged: bool,
    quiet: bool,
) -> Report:
    backends = create_backends(configuration)
    await backends.open()

    def say(line: str) -> None:
        if not quiet:
            typer.echo(line)

    try:
        run = OfflineCollection(
            database, backends, say, dry_run=dry_run, delete_untagged=delete_untagged
        )
        return await run.run()
    finally:
        await backends.close()
