"""`longshore backup`: the metadata database in one file."""

import os
from pathlib import Path
from typing import Annotated

import typer

from longshore.app import database_url
from longshore.backup.archive import BackupFailed
from longshore.backup.transfer import back_up
from longshore.cli.failure import CommandFailed
from longshore.db.database import Database
from longshore.settings import load_configuration


def command(
    file: Annotated[Path, typer.Argument(help="The backup; one of that name is replaced.")],
    config: Annotated[
        Path | None, typer.Argument(help="config.yml of the registry; default: as `serve`.")
    ] = None,
) -> None:
    """Write all metadata to one file, while the registry runs. Blobs are not in it."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    database = Database(database_url(configuration), pool_size=1)
    if database.is_sqlite and not Path(database.url.database or "").is_file():
        database.close()
        raise CommandFailed(
            f"there is no database {database.url.database}: nothing was written. "
            "Name the config.yml of the registry"
        )
    database.open()
    try:
        rows = back_up(database, file)
    except BackupFailed as error:
        raise CommandFailed(str(error)) from error
    finally:
        database.close()
    typer.echo(
        f"{file}: {sum(rows.values())} rows of {len(rows)} tables, {file.stat().st_size} bytes"
    )
