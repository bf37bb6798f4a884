"""`longshore worker`: work in the background without serving requests."""

import logging
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import longshore
from longshore.app import prepare, work_service
from longshore.cli.failure import CommandFailed
from longshore.cli.serve import explained, quiet_database
from longshore.cli.shared_directory import shared_directory
from longshore.config.load import Configuration
from longshore.http.server import ServerOptions
from longshore.http.server.configured import server_options
from longshore.http.server.run import serve
from longshore.http.settings import HTTPSettings, ServerSettings
from longshore.settings import load_configuration
from longshore.storage.settings import StorageSettings
from longshore.telemetry.install import configure_log, forget_worker
from longshore.telemetry.settings import LogSettings

logger = logging.getLogger(__name__)


def command(
    config: Annotated[
        Path | None,
        typer.Argument(show_default=False, help="config.yml of the registry, as for `serve`."),
    ] = None,
) -> None:
    """Work on the registry's jobs, and serve nothing but health and metrics (http.debug.addr).

    Any number may run beside any number of servers, which leave jobs alone where longshore.jobs.enabled is false.
    SIGTERM or Ctrl-C ends it: jobs at work are given back, and go on elsewhere or at the next start.
    """
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    if configuration[StorageSettings].maintenance.readonly.enabled:
        raise CommandFailed(
            "the registry is in read-only mode (storage.maintenance.readonly), in which no jobs are "
            "done"
        )
    configure_log(configuration[LogSettings])
    with shared_directory() as shared, explained():
        with quiet_database():
            installation = prepare(configuration, shared)
        logger.info("starting a worker", extra={"version": longshore.__version__})
        serve(
            partial(work_service, installation),
            _options(configuration),
            on_worker_exit=partial(forget_worker, shared),
            on_ready=lambda url: logger.info("ready; health: %s", url),
        )
        logger.info("stopped")


def _options(configuration: Configuration) -> ServerOptions:
    """One process, which answers on the debug address; without one, on any port of this machine's
    own, which the log names."""
    http = configuration[HTTPSettings]
    options = server_options(http, configuration[ServerSettings])
    address = http.debug.addr or "127.0.0.1:0"
    return replace(options, address=address, unix=False, debug_address="", workers=1, tls=None)
