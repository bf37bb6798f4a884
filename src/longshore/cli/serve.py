"""`longshore serve`: the server, from its configuration to its last request."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import longshore
from longshore.app import Installation, prepare, service
from longshore.cli.failure import CommandFailed
from longshore.cli.shared_directory import shared_directory
from longshore.cli.summary import Summary, summarize
from longshore.config.load import Configuration
from longshore.http.server import ServerFailed, ServerOptions
from longshore.http.server.configured import server_options
from longshore.http.server.run import serve
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.http.tls import TLSFailed
from longshore.identity.errors import IdentityError
from longshore.oci.errors import RegistryError
from longshore.settings import load_configuration
from longshore.telemetry.install import configure_log, forget_worker
from longshore.telemetry.settings import LogFormat, LogSettings

logger = logging.getLogger(__name__)


def command(
    config: Annotated[
        Path | None,
        typer.Argument(
            show_default=False,
            help="config.yml. Without it: REGISTRY_CONFIGURATION_PATH, or what is built in.",
        ),
    ] = None,
    dev: Annotated[
        bool, typer.Option("--dev", help="Allow what is only fit for development: auth.silly.")
    ] = False,
) -> None:
    """Start the registry: on port 5000, with data in a directory of its own, unless told otherwise.

    SIGTERM or Ctrl-C ends it when requests in flight have been answered; SIGHUP makes it look at
    its certificates at once.
    """
    run(config, dev=dev)


def run(config: Path | None, *, dev: bool = False) -> None:
    """Serve until told to stop. Raises ConfigurationInvalid, or CommandFailed when the server
    cannot start."""
    configuration = load_configuration(config, os.environ, dev=dev)  # noqa: TID251
    configure_log(configuration[LogSettings])
    options = server_options(configuration[HTTPSettings], configuration[ServerSettings])
    with shared_directory() as shared, explained():
        with quiet_database():
            installation = prepare(configuration, shared, dev=dev)
        _announce(configuration, summarize(configuration, installation, options))
        _serve(installation, options)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raises CommandFailed, with one sentence, for what keeps a server from running."""
    try:
        yield
    except (ServerFailed, TLSFailed, RegistryError, IdentityError) as error:
        raise CommandFailed(_sentence(error)) from error


@contextlib.contextmanager
def quiet_database() -> Iterator[None]:
    """What the database logs about a start that fails is in the sentence that ends the command."""
    database = logging.getLogger("longshore.db")
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        database.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        database.setLevel(logging.NOTSET)


def _sentence(error: Exception) -> str:
    """The error, and what it came from where that says more: a driver's own words."""
    cause = str(error.__cause__ or "").partition("\n")[0].strip()
    return f"{error}: {cause}" if cause and isinstance(error, RegistryError) else str(error)


def _serve(installation: Installation, options: ServerOptions) -> None:
    serve(
        partial(service, installation),
        options,
        on_worker_exit=partial(forget_worker, installation.shared),
        on_ready=lambda url: logger.info("ready: %s", url),
    )
    logger.info("stopped")


def _announce(configuration: Configuration, summary: Summary) -> None:
    """Say what is about to be served: to a person as a table, to a log as one entry."""
    if configuration[LogSettings].formatter is LogFormat.TEXT and sys.stderr.isatty():
        typer.echo(summary.text(), err=True)
        return
    fields = {"version": longshore.__version__, **summary.facts}
    logger.info("starting", extra=fields)
    for warning in summary.warnings:
        logger.warning("%s", warning)
