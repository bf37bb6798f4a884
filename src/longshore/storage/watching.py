"""Whether backends beside the default one answer. When one does not, what lies there cannot be had;
the rest of the registry goes on, so this is a warning and not a failed check."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from longshore.storage.driver import PathNotFound, StorageDriver, StorageError
from longshore.storage.layout import ROOT
from longshore.storage.redirect_probe import Report

logger = logging.getLogger(__name__)

_INTERVAL: Final = 10.0


async def reach(driver: StorageDriver) -> None:
    """Raises StorageError when the medium does not answer."""
    with suppress(PathNotFound):
        await driver.stat(ROOT)


class BackendWatch:
    """Asks one backend regularly; ``report`` is told what is wrong, or an empty text."""

    def __init__(self, name: str, driver: StorageDriver, report: Report) -> None:
        self._name = name
        self._driver = driver
        self._report = report
        self._wrong = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(_INTERVAL)

    async def once(self) -> None:
        """One question."""
        wrong = ""
        try:
            async with asyncio.timeout(_INTERVAL):
                await reach(self._driver)
        except (StorageError, TimeoutError) as error:
            wrong = str(error) or f"no answer within {_INTERVAL:g} seconds"
        if wrong and not self._wrong:
            logger.error("backend %s does not answer: %s", self._name, wrong)
        elif self._wrong and not wrong:
            logger.info("backend %s answers again", self._name)
        self._wrong = wrong
        self._report(f"storage {self._name}", wrong)
