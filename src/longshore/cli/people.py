"""What the commands about users and projects share."""

import asyncio
import os
import pwd
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import longshore
from longshore.access.settings import AuthSettings
from longshore.app import sealing
from longshore.background import audit_listeners
from longshore.cli.metadata import Metadata, registry_database
from longshore.cli.output import note
from longshore.config.load import Configuration
from longshore.db.database import Connection
from longshore.identity.changes import Changes
from longshore.outbox.model import Origin
from longshore.outbox.recording import Outbox
from longshore.settings import load_configuration

T = TypeVar("T")

#: What stands before the name of the system's user: no user of the registry has a colon in the name.
OPERATOR: Final = "command line:"


@dataclass(frozen=True, slots=True)
class People(Metadata):
    """The metadata of a registry with people: what commands change is in its audit log."""

    changes: Changes

    def change(
        self,
        work: Callable[[Connection], T],
        operation: str,
        resource_type: str,
        resource: str,
        *,
        project: str = "",
        description: str = "",
    ) -> T:
        """As :meth:`longshore.identity.changes.Changes.make`, by who runs the command."""
        made = self.changes.make(
            work,
            operation,
            resource_type,
            resource,
            project=project,
            description=description,
            origin=operator(),
        )
        return asyncio.run(made)


def operator() -> Origin:
    """Who runs the command, as the system knows them, on which machine."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # containers have users without a name
        name = f"uid {os.getuid()}"
    return Origin(
        f"{OPERATOR} {name}",
        address=socket.gethostname(),
        user_agent=f"longshore/{longshore.__version__}",
    )


@contextmanager
def people(config: Path | None) -> Iterator[People]:
    """The metadata of the registry that ``config`` configures; says so when nobody there asks for
    users and roles. Raises CommandFailed, or ConfigurationInvalid."""
    with people_configured(config) as (_, metadata):
        yield metadata


@contextmanager
def people_configured(config: Path | None) -> Iterator[tuple[Configuration, People]]:
    """The same, with the configuration."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    auth = configuration[AuthSettings]
    if auth.longshore is None:
        note(
            f"longshore: auth is {auth.method!r} here, so users and roles have no effect until "
            "auth.longshore is configured"
        )
    with registry_database(configuration) as database:
        outbox = Outbox(audit_listeners(configuration, sealing(configuration, database)))
        yield configuration, People(database, Changes(database, outbox))
