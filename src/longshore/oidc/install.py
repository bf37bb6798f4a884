"""Puts it together."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from longshore.db.encryption import Undecipherable
from longshore.oidc import stored as keys

if TYPE_CHECKING:
    from longshore.db.encryption import Encryption
    from longshore.identity.changes import Changes
    from longshore.oidc.logins import Logins, Providers
    from longshore.oidc.routes import LoginRoutes, Remember, Sessions
    from longshore.oidc.settings import OIDCSettings, ProviderSettings

logger = logging.getLogger(__name__)

Values = Mapping[str, bool | int | str]
#: Harbor's keys ``oidc_*``, and what decrypts the secrets among them.
Stored = Callable[[], Awaitable[tuple[Values, Callable[[str], str]]]]


def providers(settings: "OIDCSettings", stored: Stored) -> "Providers":
    """The providers of config.yml and, behind them, that of Harbor's keys."""
    configured = settings.providers

    async def now() -> "Sequence[ProviderSettings]":
        try:
            found = keys.provider(*await stored(), configured)
        except (ValueError, Undecipherable) as error:
            # It was one when it was set: config.yml has changed since, or somebody has changed rows by hand.
            logger.error("the OpenID provider of /configurations is not believed: %s", error)  # noqa: TRY400
            found = None
        return configured if found is None else (*configured, found)

    return now


def check_stored(settings: "OIDCSettings", values: Values, secret: Callable[[str], str]) -> None:
    """Raises ValueError when Harbor's keys describe a provider that cannot be asked."""
    keys.provider(values, secret, settings.providers)


def logins(found: "Providers", changes: "Changes") -> "Logins":
    """Logins at the providers that are configured now."""
    from longshore.oidc.accounts import Accounts
    from longshore.oidc.logins import Logins

    return Logins(found, Accounts(changes))


def routes(
    found: "Logins",
    encryption: "Encryption",
    remember: "Remember",
    sessions: "Sessions",
    *,
    host: str,
    prefix: str,
) -> "LoginRoutes":
    """Their routes; ``host`` and ``prefix`` as for ``longshore.access.controller``."""
    from longshore.oidc.routes import LoginRoutes
    from longshore.oidc.sealed import Sealed

    return LoginRoutes(found, Sealed(encryption), remember, sessions, host=host, prefix=prefix)
