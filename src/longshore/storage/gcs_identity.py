"""Who the gcs driver is to Google: access tokens, and the key that signs URLs. Through google-auth.

google-auth waits for the network and reads files, so all of it runs in threads.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import google.auth
from google.auth.credentials import TokenState
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from longshore.storage.driver import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from longshore.storage.gcs_settings import GCSSettings

_SCOPES: Final = ["https://www.googleapis.com/auth/devstorage.read_write"]
#: Of those who ask Google to sign for them: IAM has no narrower one.
_WIDE: Final = ["https://www.googleapis.com/auth/cloud-platform"]
#: Seconds that one question to Google's token service may take.
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Signer:
    """A service account. ``sign`` takes some tenths of a millisecond; None: the key is Google's own,
    as that of a machine's account is."""

    account: str
    sign: "Callable[[bytes], bytes] | None" = None


class Identity:
    """Credentials of one bucket's user."""

    def __init__(self, driver: str, settings: "GCSSettings") -> None:
        self._driver = driver
        self._settings = settings
        self._lock = asyncio.Lock()
        # Any: google-auth's classes have no common type with what is needed of them.
        self._credentials: Any = None

    async def open(self) -> None:
        """Find the credentials. Raises StorageUnavailable with what to correct."""
        try:
            self._credentials = await asyncio.to_thread(self._find)
        except GoogleAuthError as error:
            reason = (
                f"no credentials: {error}: name a service account's key in storage.gcs.keyfile, or "
                "run where Google's libraries find an account"
            )
            raise StorageUnavailable(self._driver, self._settings.bucket, reason) from error
        except (OSError, ValueError) as error:
            what = self._settings.keyfile or "storage.gcs.credentials"
            reason = f"{what} is no key of a service account: {error}"
            raise StorageUnavailable(self._driver, self._settings.bucket, reason) from error

    def _find(self) -> Any:
        settings = self._settings
        account: Any = service_account.Credentials  # its methods have no types
        if settings.keyfile:
            return account.from_service_account_file(str(settings.keyfile), scopes=_SCOPES)
        if settings.credentials:
            content = settings.credentials.content
            return account.from_service_account_info(content, scopes=_SCOPES)
        if settings.is_anonymous:
            return None
        found, _project = google.auth.default(scopes=_WIDE)
        return found

    async def headers(self) -> dict[str, str]:
        """What a request to the service says about its sender. Raises StorageUnavailable."""
        if self._settings.is_anonymous:
            return {}
        return {"Authorization": f"Bearer {await self._token()}"}

    async def _token(self) -> str:
        credentials = self._credentials
        if credentials.token_state != TokenState.FRESH:
            async with self._lock:  # one renewal, for which everybody waits
                if credentials.token_state != TokenState.FRESH:
                    await self._renew()
        token: str = credentials.token
        return token

    async def _renew(self) -> None:
        request = partial(Request(), timeout=_PATIENCE)
        try:
            async with asyncio.timeout(2 * _PATIENCE):
                await asyncio.to_thread(self._credentials.refresh, request)
        except (GoogleAuthError, TimeoutError) as error:
            if self._credentials.token_state == TokenState.STALE:
                return  # the old one is still good for minutes: the next request tries again
            told = str(error) or "the token service does not answer"
            reason = f"no access token: {told}"
            raise StorageUnavailable(self._driver, self._settings.bucket, reason) from error

    def forget(self) -> None:
        """The service does not accept the token: the next request gets a new one."""
        if self._credentials is not None:
            self._credentials.token = None

    @property
    def signer(self) -> Signer | None:
        """Who can sign; None when nobody knows which account this is."""
        credentials = self._credentials
        if isinstance(credentials, service_account.Credentials):
            return Signer(credentials.service_account_email, credentials.sign_bytes)
        account = getattr(credentials, "service_account_email", None)
        return Signer(account) if account and "@" in account else None
