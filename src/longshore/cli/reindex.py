"""`longshore reindex`: the metadata made anew from storage."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from longshore import migrations
from longshore.adoption.orphans import Orphans
from longshore.adoption.rebuilding import RebuildRefused, rebuild
from longshore.adoption.task import Adoption
from longshore.app import database_url
from longshore.background import worker_options
from longshore.cli.failure import CommandFailed
from longshore.cli.output import note
from longshore.config.load import Configuration
from longshore.db import occupancy
from longshore.db.database import Database
from longshore.jobs.foreground import WorkFailed, until_done
from longshore.oci.errors import NameInvalid
from longshore.oci.names import RepositoryName
from longshore.settings import load_configuration
from longshore.storage import drivers
from longshore.storage.driver import StorageDriver, StorageError
from longshore.storage.settings import StorageSettings


def command(
    config: Annotated[
        Path | None, typer.Argument(help="config.yml of the registry; default: as `serve`.")
    ] = None,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also when the database knows repositories.")
    ] = False,
    discard: Annotated[
        bool,
        typer.Option("--discard", help="Also when it knows what was never written to storage."),
    ] = False,
    orphans: Annotated[
        str | None,
        typer.Option(
            "--orphans",
            metavar="REPOSITORY",
            help="Put manifests that no link names into this repository, without tags.",
        ),
    ] = None,
) -> None:
    """Make the database say what storage says: for a database that was lost, or that does not know
    what another registry has written since. The registry must be stopped, or read-only."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    lost = _repository(orphans) if orphans else None
    database = Database(database_url(configuration), pool_size=4)
    database.open()
    try:
        migrations.upgrade(database)
        with occupancy.alone(database):
            lines = asyncio.run(_reindex(configuration, database, replace, discard, lost))
    except occupancy.Occupied as error:
        raise CommandFailed(
            "a server is accepting pushes to this registry: stop it, or restart it with "
            "REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED=true meanwhile"
        ) from error
    except (RebuildRefused, WorkFailed) as error:
        raise CommandFailed(str(error)) from error
    finally:
        database.close()
    print("\n".join(lines))


async def _reindex(
    configuration: Configuration,
    database: Database,
    replace: bool,
    discard: bool,
    lost: RepositoryName | None,
) -> list[str]:
    driver = drivers.create(configuration[StorageSettings])
    await driver.open()
    try:
        begun = await rebuild(database, driver, replace=replace, discard=discard)
        lines = []
        if begun.job is not None:
            task, how = Adoption(database, driver), worker_options(configuration)
            lines = await until_done(database, task, begun.job, note, how)
        elif lost is None:
            raise CommandFailed("storage has no links, so nothing says what repositories there are")
        if lost:
            lines.append(await _collect(database, driver, lost))
        return lines
    except StorageError as error:
        raise CommandFailed(f"storage cannot be read: {error}") from error
    finally:
        await driver.close()


async def _collect(database: Database, driver: StorageDriver, name: RepositoryName) -> str:
    found = await Orphans(database, driver, name, typer.echo).run()
    return f"{found} manifests that no link names are in repository {name}"


def _repository(name: str) -> RepositoryName:
    try:
        return RepositoryName(name)
    except NameInvalid as error:
        raise typer.BadParameter(error.message) from error
