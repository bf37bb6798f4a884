"""Puts it together."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from longshore.db.encryption import Undecipherable
from longshore.oidc import stored as keys
from longshore.system.complaint import Complaint, Warn, unshown

if TYPE_CHECKING:
    from longshore.db.encryption import Encryption
    from longshore.identity.changes import Changes
    from longshore.oidc.logins import Logins, Providers
    from longshore.oidc.routes import LoginRoutes, Remember, Sessions
    from longshore.oidc.settings import OIDCSettings, ProviderSettings

Values = Mapping[str, bool | int | str]
#: Harbor's keys ``oidc_*``, and what decrypts the secrets among them.
Stored = Callable[[], Awaitable[tuple[Values, Callable[[str], str]]]]


def providers(settings: "OIDCSettings", stored: Stored, warn: Warn = unshown) -> "Providers":
    """The providers of config.yml and, behind them, that of Harbor's keys. ``warn`` is told when those describe
    none, which they did when they were set: config.yml has changed since, a library is gone, or somebody has changed
    rows or keys by hand."""
    configured = settings.providers
    complaint = Complaint(keys.PREFIX, "nobody can log in at that OpenID provider", warn)

    async def now() -> "Sequence[ProviderSettings]":
        values, secret = await stored()
        try:
            found = keys.provider(values, secret, configured)
        except (ValueError, Undecipherable) as error:
            complaint.make(values, str(error))
            return configured
        complaint.is_over()
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
