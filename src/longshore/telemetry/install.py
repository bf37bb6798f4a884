"""Everything that a worker process tells about itself, put together from its settings."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from longshore.telemetry import checks, logs
from longshore.telemetry.access_log import AccessLog
from longshore.telemetry.exchange import Observer
from longshore.telemetry.health import Check, Health
from longshore.telemetry.settings import HealthSettings, LogSettings
from longshore.telemetry.sinks import GatheringSink

if TYPE_CHECKING:
    from longshore.telemetry.metrics import Metrics


class Telemetry:
    """Health, logs and, where they are wanted, metrics of one worker.

    ``observers`` go to the application; ``running`` is the last step of its lifespan; ``drain``
    and ``close`` are what the process server calls at the end.
    """

    def __init__(
        self,
        log: LogSettings,
        health: HealthSettings,
        *,
        metrics: bool = False,
        shared: Path | None = None,
        slot: int = 0,
    ) -> None:
        """``shared`` is a directory that all workers of a server have to themselves, and ``slot``
        this worker's number; without it the process is on its own.

        ``metrics`` decides whether anything is counted at all.
        """
        self._log = log
        self._close_log = configure_log(log, gather=True)
        self._access = None if log.accesslog.disabled else GatheringSink(logs.STDOUT)
        self._settings = health
        self._shared = shared
        self.health = Health(shared / "down" if shared else None)
        self.metrics: Metrics | None = _metrics(shared, slot) if metrics else None
        _watch_configured(self.health, health)

    @property
    def observers(self) -> tuple[Observer, ...]:
        found: list[Observer] = []
        if self.metrics:
            found.append(self.metrics)
        if self._access:
            log = self._log
            found.append(AccessLog(self._access, formatter=log.formatter.value, fields=log.fields))
        return tuple(found)

    def watch_storage(self, driver: str, check: Check) -> None:
        """Watch the storage in the background if ``health.storagedriver`` says so."""
        settings = self._settings.storagedriver
        if settings.enabled:
            name = f"storagedriver_{driver}"
            self.health.watch(name, check, interval=settings.interval, threshold=settings.threshold)

    async def exposition(self) -> bytes:
        """The text of ``/metrics``: all workers together."""
        if self.metrics is None:
            return b""
        return await self.metrics.exposition(_directory(self._shared))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """From here on the worker is ready; checks and counters run in the background."""
        tasks = [asyncio.create_task(self.health.run())]
        if self.metrics:
            tasks.append(asyncio.create_task(self.metrics.run()))
        self.health.started = True
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def drain(self) -> None:
        """The worker was told to stop."""
        self.health.draining = True

    def close(self) -> None:
        """Write what waits to be written."""
        if self._access:
            self._access.close()
        self._close_log()


def configure_log(settings: LogSettings, *, gather: bool = False) -> Callable[[], None]:
    """Send the program's log to standard error as configured; see :func:`logs.configure`."""
    return logs.configure(
        level=settings.level.value,
        formatter=settings.formatter.value,
        fields=settings.fields,
        report_caller=settings.reportcaller,
        gather=gather,
    )


def _directory(shared: Path | None) -> Path | None:
    return shared / "metrics" if shared else None


def _metrics(shared: Path | None, slot: int) -> "Metrics":
    # Only who wants metrics pays for their library.
    from longshore.telemetry import metrics

    directory = _directory(shared)
    if directory:
        directory.mkdir(exist_ok=True)
        metrics.share(directory, slot)
    return metrics.Metrics()


def forget_worker(shared: Path, slot: int) -> None:
    """A worker died: what it was in the middle of is no longer shown."""
    directory = shared / "metrics"
    if directory.is_dir():
        from longshore.telemetry import metrics

        metrics.forget(directory, slot)


def _watch_configured(health: Health, settings: HealthSettings) -> None:
    """The checks that the configuration lists, under the names that distribution gives them."""
    for entry in settings.file:
        check = checks.file_absent(Path(entry.file))
        health.watch(entry.file, check, interval=entry.interval, threshold=entry.threshold)
    for asked in settings.http:
        check = checks.http_answers(
            asked.uri, status=asked.statuscode, timeout=asked.timeout, headers=asked.headers
        )
        health.watch(
            asked.uri,
            check,
            interval=asked.interval,
            threshold=asked.threshold,
            timeout=asked.timeout + 1,
        )
    for peer in settings.tcp:
        check = checks.tcp_connects(peer.addr, peer.timeout)
        health.watch(
            peer.addr,
            check,
            interval=peer.interval,
            threshold=peer.threshold,
            timeout=peer.timeout + 1,
        )
