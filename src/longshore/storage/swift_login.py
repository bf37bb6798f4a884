"""Logging in to Swift: TempAuth (version 1) and the two identity APIs of Keystone (2 and 3).

Shapes as in Swift's manual ("Authentication") and Keystone's API reference ("Password
authentication with scoped authorization", "Authenticating with an application credential").
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from longshore.storage.driver import StorageUnavailable
from longshore.telemetry import clock

if TYPE_CHECKING:
    from longshore.storage.swift_settings import SwiftSettings

NAME: Final = "swift"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
#: A token is renewed this long before it ends (seconds).
_EARLY: Final = 60.0
_FORBIDDEN: Final = (
    "the login is refused: correct storage.swift.username and password (or the application "
    "credential), and the project: tenant, tenantid, domain, tenantdomain"
)


class LoginRefused(StorageUnavailable):
    """It is no use to ask the same again."""


@dataclass(frozen=True, slots=True)
class Access:
    """A token, and the URL of the account it is for; ``public`` is the account's URL for clients.
    It is not used after ``until`` (:func:`time.monotonic`)."""

    token: str = field(repr=False)
    url: str
    public: str
    until: float


async def login(session: aiohttp.ClientSession, settings: "SwiftSettings") -> Access:
    """Ask for a token. Raises LoginRefused with a sentence that says what to correct, and
    StorageUnavailable for what may pass."""
    try:
        return await _VERSIONS[settings.version](session, settings)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reason = f"{settings.authurl} does not answer: {type(error).__name__}: {error}"
        raise StorageUnavailable(NAME, settings.container, reason) from error
    except (KeyError, TypeError, ValueError) as error:
        reason = (
            f"{settings.authurl} does not answer as version {settings.version} of the login "
            "does: correct storage.swift.authurl or authversion"
        )
        raise LoginRefused(NAME, settings.container, reason) from error


async def _version_1(session: aiohttp.ClientSession, settings: "SwiftSettings") -> Access:
    headers = {
        "X-Auth-User": settings.username,
        "X-Auth-Key": settings.password.get_secret_value(),
    }
    async with session.get(settings.authurl, headers=headers, timeout=_TIMEOUT) as reply:
        _check(settings, reply.status)
        url = reply.headers["X-Storage-Url"].rstrip("/")
        lifetime = float(reply.headers.get("X-Auth-Token-Expires", "inf"))
        return Access(reply.headers["X-Auth-Token"], url, url, _deadline(lifetime))


async def _version_2(session: aiohttp.ClientSession, settings: "SwiftSettings") -> Access:
    question: dict[str, Any] = {
        "passwordCredentials": {
            "username": settings.username,
            "password": settings.password.get_secret_value(),
        }
    }
    if settings.tenantid:
        question["tenantId"] = settings.tenantid
    elif settings.tenant:
        question["tenantName"] = settings.tenant
    url = f"{settings.authurl.rstrip('/')}/tokens"
    async with session.post(url, json={"auth": question}, timeout=_TIMEOUT) as reply:
        _check(settings, reply.status)
        access = json.loads(await reply.read())["access"]
    found = {
        (endpoint.get("region", ""), interface): endpoint[f"{interface}URL"]
        for service in access["serviceCatalog"]
        if service["type"] == "object-store"
        for endpoint in service["endpoints"]
        for interface in ("public", "internal", "admin")
        if endpoint.get(f"{interface}URL")
    }
    token = access["token"]
    return _in_catalog(settings, token["id"], _lifetime(token.get("expires")), found)


async def _version_3(session: aiohttp.ClientSession, settings: "SwiftSettings") -> Access:
    url = f"{settings.authurl.rstrip('/')}/auth/tokens"
    question = {"auth": _identity(settings)}
    async with session.post(url, json=question, timeout=_TIMEOUT) as reply:
        _check(settings, reply.status)
        token = json.loads(await reply.read())["token"]
        name = reply.headers["X-Subject-Token"]
    found = {
        (endpoint.get("region_id") or endpoint.get("region") or "", endpoint["interface"]): (
            endpoint["url"]
        )
        for service in token.get("catalog", ())
        if service["type"] == "object-store"
        for endpoint in service["endpoints"]
    }
    return _in_catalog(settings, name, _lifetime(token.get("expires_at")), found)


def _identity(settings: "SwiftSettings") -> Mapping[str, Any]:
    """Who asks, and for which project. An application credential is for one already."""
    if settings.applicationcredentialid:
        credential = {
            "id": settings.applicationcredentialid,
            "secret": settings.applicationcredentialsecret.get_secret_value(),
        }
        method = "application_credential"
        return {"identity": {"methods": [method], method: credential}}
    domain = _named(settings.domainid, settings.domain) or {"id": "default"}
    user = {
        "name": settings.username,
        "domain": domain,
        "password": settings.password.get_secret_value(),
    }
    asked: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if settings.trustid:
        asked["scope"] = {"OS-TRUST:trust": {"id": settings.trustid}}
    elif settings.tenantid:
        asked["scope"] = {"project": {"id": settings.tenantid}}
    elif settings.tenant:
        of = _named(settings.tenantdomainid, settings.tenantdomain) or domain
        asked["scope"] = {"project": {"name": settings.tenant, "domain": of}}
    return asked


def _named(identity: str, name: str) -> Mapping[str, str]:
    return {"id": identity} if identity else {"name": name} if name else {}


def _in_catalog(
    settings: "SwiftSettings", token: str, lifetime: float, found: Mapping[tuple[str, str], str]
) -> Access:
    """The account's URL among the addresses in the catalog, by region and interface."""
    regions: Sequence[str] = list(dict.fromkeys(region for region, _ in found))
    region = settings.region or next(
        (region for region, interface in found if interface == settings.endpointtype), ""
    )
    url = found.get((region, settings.endpointtype))
    if url is None:
        reason = (
            f"the catalog has no object store with a {settings.endpointtype} address in region "
            f"{settings.region or 'any'}; it has them in: {', '.join(regions) or 'no region'}. "
            "Correct storage.swift.region, endpointtype, or the project"
        )
        raise LoginRefused(NAME, settings.container, reason)
    public = found.get((region, "public"), url)
    return Access(token, url.rstrip("/"), public.rstrip("/"), _deadline(lifetime))


def _lifetime(expires: str | None) -> float:
    """Seconds until a time such as 2026-01-31T12:00:00.000000Z."""
    if not expires:
        return float("inf")
    end = datetime.fromisoformat(expires)
    return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() - clock.timestamp()


def _deadline(lifetime: float) -> float:
    # Never in the past: a clock that is wrong must not make every request log in.
    return time.monotonic() + max(lifetime - _EARLY, _EARLY)


def _check(settings: "SwiftSettings", status: int) -> None:
    if status < 300:
        return
    if status in (401, 403):
        raise LoginRefused(NAME, settings.container, _FORBIDDEN)
    reason = f"{settings.authurl} answered {status} to the login"
    if status >= 500 or status in (408, 429):
        raise StorageUnavailable(NAME, settings.container, reason)
    reason += ": correct storage.swift.authurl or authversion"
    raise LoginRefused(NAME, settings.container, reason)


_VERSIONS: Final = {1: _version_1, 2: _version_2, 3: _version_3}
