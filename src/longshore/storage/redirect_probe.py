"""Whether the URLs that clients are sent to lead to the bytes: the server follows one itself.

An endpoint that only the server's network knows, a proxy that breaks signatures, a CDN without access
to the bucket: clients meet all of these as an error in the middle of a pull, and the registry never
hears of it.
"""

import asyncio
import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from typing import Final

from longshore.storage.driver import PathNotFound, StorageDriver, StorageError
from longshore.storage.layout import PROBE
from longshore.storage.redirection import Redirection

logger = logging.getLogger(__name__)

CONTENT: Final = b"Longshore fetches this to see whether clients could.\n"
#: Seconds between two rounds: while all is well, and while it is not.
INTERVAL: Final = 300.0
RETRY: Final = 30.0
_PATIENCE: Final = 15.0

#: Told what is wrong, or an empty text; under the name of what was tried.
Report = Callable[[str, str], None]


class RedirectProbe:
    """Follows a redirect of one backend from time to time. ``writes``: it may put the object there
    that it then fetches. ``stream``: while that fails, blobs are sent by the registry itself."""

    def __init__(
        self,
        name: str,
        driver: StorageDriver,
        redirection: Redirection,
        report: Report,
        *,
        lifetime: float,
        writes: bool = True,
        stream: bool = False,
    ) -> None:
        self.name = name
        self._driver = driver
        self._redirection = redirection
        self._report = report
        self._lifetime = lifetime
        self._writes = writes
        self._stream = stream
        self._wrong = ""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(RETRY if self._wrong else INTERVAL)

    async def once(self) -> str:
        """One round; what is wrong, empty when the bytes arrived."""
        try:
            wrong = await self._follow()
        except StorageError as error:
            wrong = f"no URL could be signed: {error}"
        if wrong and not self._wrong:
            remedy = (
                "blobs are sent by this server meanwhile"
                if self._stream
                else "clients that cannot fetch from there cannot pull: correct the address that "
                "clients are sent to, or set storage.redirect.disable or longshore.redirect.probe: "
                "stream"
            )
            logger.warning(
                "%s: redirects do not lead to the bytes: %s; %s", self.name, wrong, remedy
            )
        elif self._wrong and not wrong:
            logger.info("%s: redirects lead to the bytes again", self.name)
        self._wrong = wrong
        self._redirection.suspended = wrong if self._stream else ""
        self._report(self.name, wrong)
        return wrong

    async def _follow(self) -> str:
        try:
            await self._driver.stat(PROBE)
        except PathNotFound:
            if not self._writes:
                return ""
            await self._driver.write(PROBE, CONTENT)
        # No client's address: what is for clients elsewhere is asked for.
        url = await self._redirection.source.url(PROBE, "GET", self._lifetime, "")
        return await asyncio.to_thread(_fetch, url) if url else ""


def _fetch(url: str) -> str:
    """Why the bytes did not come; empty when they did. Says only the part of the URL that is no
    secret."""
    place = url.partition("?")[0]
    try:
        with closing(urllib.request.urlopen(url, timeout=_PATIENCE)) as reply:  # noqa: S310 - our own link
            content: bytes = reply.read(len(CONTENT) + 1)
    except urllib.error.HTTPError as error:
        with error:
            return f"{place} answered {error.code} {error.reason}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{place}: {getattr(error, 'reason', None) or error}"
    return "" if content == CONTENT else f"{place} answered with other bytes"
