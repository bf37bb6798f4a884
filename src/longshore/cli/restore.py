"""`longshore restore`: a backup becomes the metadata database."""

import os
from pathlib import Path
from typing import Annotated

import typer

from longshore.app import database_url
from longshore.backup.archive import BackupFailed
from longshore.backup.transfer import restore
from longshore.cli.failure import CommandFailed
from longshore.db import occupancy
from longshore.db.database import Database
from longshore.quotas import install as quotas
from longshore.settings import load_configuration


def command(
    file: Annotated[Path, typer.Argument(help="What `longshore backup` wrote.")],
    config: Annotated[
        Path | None, typer.Argument(help="config.yml of the registry; default: as `serve`.")
    ] = None,
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove what the database has now.")
    ] = False,
) -> None:
    """Write a backup into an empty database, SQLite or PostgreSQL. The registry must be stopped."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    if not file.is_file():
        raise CommandFailed(f"there is no backup {file}: name a file that `longshore backup` wrote")
    database = Database(database_url(configuration), pool_size=2)
    database.open()
    try:
        rows = restore(database, file, replace=replace)
        quotas.recount(database)
    except BackupFailed as error:
        raise CommandFailed(str(error)) from error
    except occupancy.Occupied as error:
        raise CommandFailed(
            "a server is accepting pushes to this registry: stop it and restore again. "
            "Nothing was changed"
        ) from error
    finally:
        database.close()
    typer.echo(f"{file}: {sum(rows.values())} rows of {len(rows)} tables restored")
