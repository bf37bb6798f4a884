"""Puts it together."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from longshore.identity.errors import IdentityError
from longshore.workload.settings import IssuerSettings, WorkloadSettings

if TYPE_CHECKING:
    from longshore.openid.keys import KeySource
    from longshore.workload.exchange import TokenExchange


def create(settings: WorkloadSettings, *, secret: bytes, host: str) -> "TokenExchange | None":
    """What takes tokens of platforms; None where none is configured. ``host`` is the registry's external
    URL. Raises IdentityError for what is configured wrongly. Blocks."""
    if not settings.issuers:
        return None
    from longshore.workload.exchange import TokenExchange, TrustedIssuer

    audience = settings.audience or _own_names(host)
    if not audience:
        raise IdentityError(
            "longshore.workload.audience is empty and so is http.host: tokens must be for this very "
            "registry, so write what they say (aud), such as https://registry.example.org"
        )
    issuers = [TrustedIssuer(issuer, _keys(issuer)) for issuer in settings.issuers]
    return TokenExchange(issuers, audience, secret)


def _own_names(host: str) -> tuple[str, ...]:
    url = host.rstrip("/")
    return (url, urlsplit(url).netloc) if url else ()


def _keys(issuer: IssuerSettings) -> "KeySource":
    from longshore.openid.errors import ProviderUnavailable
    from longshore.openid.keys import KeySet, StaticKeys
    from longshore.openid.provider import Provider
    from longshore.openid.web import Web

    if issuer.jwks is None:
        return Provider(issuer.url, Web(issuer.ca), jwks_uri=issuer.jwksuri)
    where = f"longshore.workload.issuers ({issuer.name}).jwks: {issuer.jwks}"
    try:
        document = orjson.loads(issuer.jwks.read_bytes())
        keys = KeySet(document if isinstance(document, dict) else {})
    except OSError as error:
        raise IdentityError(f"{where} cannot be read: {error.strerror}") from error
    except (orjson.JSONDecodeError, ProviderUnavailable) as error:
        raise IdentityError(f"{where}: {error}") from error
    if not len(keys):
        raise IdentityError(f"{where} holds no key that could sign a token")
    return StaticKeys(keys, str(issuer.jwks))
