"""The metadata of a registry, for commands that run beside its servers."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from longshore import migrations
from longshore.app import database_url
from longshore.cli.failure import CommandFailed
from longshore.config.load import Configuration
from longshore.db.database import Connection, Database
from longshore.settings import load_configuration

T = TypeVar("T")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="config.yml of the registry; default: as `serve`."),
]


@dataclass(frozen=True, slots=True)
class Metadata:
    """An open database, for code without an event loop."""

    database: Database

    def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` finds."""
        return asyncio.run(self.database.read(work))

    def write(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returns, when it was committed."""
        return asyncio.run(self.database.write(work))


@contextmanager
def opened(config: Path | None) -> Iterator[Metadata]:
    """The metadata of the registry that ``config`` configures. Raises CommandFailed, or
    ConfigurationInvalid."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    with registry_database(configuration) as database:
        yield Metadata(database)


@contextmanager
def registry_database(configuration: Configuration) -> Iterator[Database]:
    """The database of a registry that has been started at least once, with this program's schema.
    Raises CommandFailed."""
    database = Database(database_url(configuration), pool_size=1)
    if database.is_sqlite and not Path(database.url.database or "").is_file():
        database.close()
        raise CommandFailed(
            f"there is no database {database.url.database}: name the config.yml of the registry "
            "with --config"
        )
    database.open()
    try:
        found = migrations.current(database)
        if found != migrations.HEAD:
            raise CommandFailed(
                f"the database's schema is {found}, this program's is {migrations.HEAD}: "
                "use the version that serves the registry, or start this one once"
            )
        yield database
    finally:
        database.close()
