"""`longshore export-links`: the way back to another registry."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from longshore import migrations
from longshore.adoption.export_task import LinkExport, enqueue_everything
from longshore.app import database_url
from longshore.background import worker_options
from longshore.cli.failure import CommandFailed
from longshore.cli.output import note
from longshore.config.load import Configuration
from longshore.db.database import Database
from longshore.jobs.foreground import WorkFailed, until_done
from longshore.registry import store as registry
from longshore.registry.model import AdoptionState
from longshore.settings import load_configuration
from longshore.storage import drivers
from longshore.storage.settings import StorageSettings


def command(
    config: Annotated[
        Path | None, typer.Argument(help="config.yml of the registry; default: as `serve`.")
    ] = None,
) -> None:
    """Write to storage the links that distribution needs, and remove those of what was deleted, so
    that it can serve the same storage. May be repeated, and may run beside the server."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    database = Database(database_url(configuration), pool_size=4)
    if database.is_sqlite and not Path(database.url.database or "").is_file():
        database.close()
        raise CommandFailed(f"there is no database {database.url.database}: nothing was written")
    database.open()
    try:
        migrations.upgrade(database)
        lines = asyncio.run(_export(configuration, database))
    finally:
        database.close()
    print("\n".join(lines))


async def _export(configuration: Configuration, database: Database) -> list[str]:
    if await database.read(registry.adoption_state) is AdoptionState.RUNNING:
        raise CommandFailed(
            "an adoption is running, so storage knows more than the database: let it end first, "
            "for example with `longshore adopt --wait`"
        )
    driver = drivers.create(configuration[StorageSettings])
    await driver.open()
    try:
        job = await database.write(enqueue_everything)
        task, how = LinkExport(database, driver), worker_options(configuration)
        return await until_done(database, task, job, note, how)
    except WorkFailed as error:
        raise CommandFailed(str(error)) from error
    finally:
        await driver.close()
