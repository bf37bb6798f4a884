"""Whether this process is well, and whether it should be sent requests.

Two kinds of checks. *Watched* ones run in the background, each at its interval; after
``threshold`` failures in a row the registry answers 503 on its API until one succeeds, as
distribution does with the checks of its ``health`` section. *Required* ones run when somebody asks
for readiness, with a time-out and a short memory, so that asking often costs nothing.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

Check = Callable[[], Awaitable[None]]
"""Returns when all is well; raises any exception when not, and its text says what is wrong."""

#: What distribution calls its check that a person switches.
MANUAL: Final = "manual_http_status"
_REMEMBERED: Final = 1.0


@dataclass(slots=True)
class _Watched:
    name: str
    check: Check
    interval: float
    threshold: int
    timeout: float
    failures: int = 0


@dataclass(slots=True)
class _Required:
    name: str
    check: Check
    timeout: float


class Health:
    """The checks of one worker process. Times are seconds."""

    def __init__(self, switch: Path | None = None) -> None:
        """``switch`` is a file that all workers of a server share: while it exists, every one of
        them reports itself as down (``POST /debug/health/down``)."""
        self._switch = switch
        self._watched: list[_Watched] = []
        self._required: list[_Required] = []
        self._failing: dict[str, str] = {}
        self._warnings: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._known_until = 0.0
        self._asking: asyncio.Task[dict[str, str]] | None = None
        self.started = False
        self.draining = False

    def watch(
        self,
        name: str,
        check: Check,
        *,
        interval: float = 10.0,
        threshold: int = 1,
        timeout: float = 5.0,
    ) -> None:
        """Run ``check`` in the background."""
        self._watched.append(_Watched(name, check, interval, max(1, threshold), timeout))

    def require(self, name: str, check: Check, *, timeout: float = 3.0) -> None:
        """Run ``check`` when readiness is asked for."""
        self._required.append(_Required(name, check, timeout))

    @property
    def failing(self) -> Mapping[str, str]:
        """Watched checks that fail, and why. While there are any, the API answers 503."""
        return self._failing

    @property
    def warnings(self) -> Mapping[str, str]:
        """What is wrong without keeping the registry from answering, and why."""
        return self._warnings

    def warn(self, name: str, reason: str) -> None:
        """Show a warning under this name; an empty ``reason`` ends it."""
        others = {other: text for other, text in self._warnings.items() if other != name}
        self._warnings = {**others, name: reason} if reason else others

    async def readiness(self) -> Mapping[str, str]:
        """Everything that stands against sending requests here; empty when nothing does."""
        if self.draining:
            return {**self._failing, "drain": "the server is stopping"}
        if not self.started:
            return {"start": "the server is starting"}
        if time.monotonic() >= self._known_until:
            # All who ask at the same moment share one answer.
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask())
            await asyncio.shield(self._asking)
        return {**self._failing, **self._known}

    async def _ask(self) -> dict[str, str]:
        try:
            reasons = await asyncio.gather(
                *(_run(entry.check, entry.timeout) for entry in self._required)
            )
            self._known = {
                entry.name: reason
                for entry, reason in zip(self._required, reasons, strict=True)
                if reason
            }
            self._known_until = time.monotonic() + _REMEMBERED
            return self._known
        finally:
            self._asking = None

    # The background

    async def run(self) -> None:
        """Run the watched checks until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for entry in self._watched:
                tasks.create_task(self._repeat(entry))
            if self._switch is not None:
                tasks.create_task(self._follow_switch())

    async def _repeat(self, entry: _Watched) -> None:
        while True:
            reason = await _run(entry.check, entry.timeout)
            entry.failures = entry.failures + 1 if reason else 0
            self._set(entry.name, reason if entry.failures >= entry.threshold else "")
            await asyncio.sleep(entry.interval)

    async def _follow_switch(self) -> None:
        while True:
            await self._read_switch()
            await asyncio.sleep(_REMEMBERED)

    async def _read_switch(self) -> None:
        if self._switch is not None:
            down = await asyncio.to_thread(self._switch.exists)
            self._set(
                MANUAL, "switched off by hand (POST /debug/health/up ends it)" if down else ""
            )

    def _set(self, name: str, reason: str) -> None:
        if reason and name not in self._failing:
            logger.error("health check %s fails: %s", name, reason)
        elif not reason and name in self._failing:
            logger.info("health check %s is well again", name)
        failing = {other: text for other, text in self._failing.items() if other != name}
        if reason:
            failing[name] = reason
        self._failing = failing

    # The switch

    async def switch(self, *, down: bool) -> None:
        """Take all workers out of service, or bring them back; the others notice in a second."""
        if self._switch is None:
            self._set(MANUAL, "switched off by hand" if down else "")
            return
        await asyncio.to_thread(_touch if down else _remove, self._switch)
        await self._read_switch()


def _touch(path: Path) -> None:
    path.touch(mode=0o600)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


async def _run(check: Check, timeout: float) -> str:
    """Why the check failed; empty when it did not."""
    try:
        async with asyncio.timeout(timeout):
            await check()
    except TimeoutError:
        return f"no answer within {timeout:g} seconds"
    except Exception as error:  # noqa: BLE001
        # Whatever went wrong is the answer.
        return " ".join(str(error).split()) or type(error).__name__
    return ""
