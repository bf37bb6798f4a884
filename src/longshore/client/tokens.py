"""Getting a token from a token server.

The protocol is distribution's: a GET with scopes, which every server speaks, and an OAuth 2 POST
(RFC 6749 section 6) where the login was exchanged for an identity token.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import orjson

from longshore.client.addresses import realm_objection
from longshore.client.challenge import Challenge
from longshore.client.credentials import Credential
from longshore.client.errors import ProtocolViolation, RealmRefused, Unauthenticated
from longshore.client.wire import Ask, Reply, Wire

_CLIENT_ID: Final = "longshore"
_LIFETIME: Final = 60  # what the protocol says of a reply without expires_in
_LARGEST_REPLY = 1024 * 1024


@dataclass(frozen=True)
class Token:
    """A Bearer token and the moment (monotonic seconds) from which a new one is better."""

    value: str
    stale_at: float
    identity_token: str = ""

    @property
    def fresh(self) -> bool:
        """Whether it may be used without expecting a refusal."""
        return time.monotonic() < self.stale_at


class TokenServer:
    """The realm of one Bearer challenge."""

    def __init__(self, wire: Wire, registry_url: httpx.URL, challenge: Challenge) -> None:
        self._wire = wire
        self._registry_url = registry_url
        self._service = challenge.parameters.get("service", "")
        realm = challenge.parameters.get("realm", "")
        if not realm:
            raise ProtocolViolation(f"{wire.registry} asks for a token but names no realm")
        try:
            self._realm = registry_url.join(realm)
        except httpx.InvalidURL as error:
            raise ProtocolViolation(f"{wire.registry}: realm {realm[:200]!r}: {error}") from error

    async def token(
        self, scopes: Collection[str], credential: Credential | None, *, offline: bool = False
    ) -> Token:
        """A token for these scopes, or for as many of them as the server grants.

        `offline` asks for an identity token as well. Raises RealmRefused before anything is sent
        to a server that must not know the credential, Unauthenticated when it is wrong.
        """
        self._permit(credential)
        started = time.monotonic()
        if credential and credential.identity_token:
            ask = self._refresh(scopes, credential)
        else:
            ask = self._get(scopes, credential, offline=offline)
        reply = await self._wire.attempts(lambda: self._once(ask))
        if reply.status in (400, 401, 403):
            raise self._rejected(reply, credential)
        return self._parse(reply, started)

    def _permit(self, credential: Credential | None) -> None:
        trusted = self._wire.connection.trusted_realms
        objection = realm_objection(self._registry_url, self._realm, trusted)
        downgrade = self._registry_url.scheme == "https" and self._realm.scheme != "https"
        if objection and (credential or downgrade):
            raise RealmRefused(
                f"{self._wire.registry} wants its login sent to {self._realm}, which is refused: "
                f"{objection}; if that is right, say --trust-realm {self._realm.host}"
            )

    def _get(self, scopes: Collection[str], credential: Credential | None, *, offline: bool) -> Ask:
        query: list[tuple[str, str]] = []
        if self._service:
            query.append(("service", self._service))
        query += [("scope", scope) for scope in sorted(scopes)]
        headers = {}
        if credential:
            query.append(("account", credential.username))
            headers["Authorization"] = credential.basic
        if offline:
            query += [("offline_token", "true"), ("client_id", _CLIENT_ID)]
        url = self._realm
        for key, value in query:
            url = url.copy_add_param(key, value)
        return Ask("GET", url, headers, accept=frozenset({400, 401, 403}))

    def _refresh(self, scopes: Collection[str], credential: Credential) -> Ask:
        form = {
            "grant_type": "refresh_token",
            "service": self._service,
            "client_id": _CLIENT_ID,
            "refresh_token": credential.identity_token,
            "scope": " ".join(sorted(scopes)),
        }
        return Ask(
            "POST",
            self._realm,
            {"Content-Type": "application/x-www-form-urlencoded"},
            urlencode(form).encode(),
            accept=frozenset({400, 401, 403}),
        )

    async def _once(self, ask: Ask) -> Reply:
        async with self._wire.send(ask, httpx.URL(ask.url)) as response:
            await self._wire.check(ask, response)
            body = await self._wire.read(response, _LARGEST_REPLY)
            return Reply(response.status_code, response.headers, body, response.url)

    def _rejected(self, reply: Reply, credential: Credential | None) -> Unauthenticated:
        registry, who = self._wire.registry, credential.username if credential else ""
        if credential and credential.identity_token:
            reason = "the stored login has expired or was withdrawn"
        elif credential:
            reason = f"the user name {who!r} or its password is wrong"
        else:
            reason = "anonymous access is not allowed"
        return Unauthenticated(
            f"{registry}: {reason} ({reply.status} from {self._realm.host}); "
            f"log in with 'longshore login {registry}'",
            status=reply.status,
            code="UNAUTHORIZED",
        )

    def _parse(self, reply: Reply, started: float) -> Token:
        try:
            document: Any = orjson.loads(reply.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ProtocolViolation(f"{self._realm} answered with something that is not JSON")
        value = document.get("token") or document.get("access_token")
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise ProtocolViolation(f"{self._realm} answered without a token")
        lifetime = document.get("expires_in")
        if not isinstance(lifetime, int | float) or isinstance(lifetime, bool) or lifetime <= 0:
            lifetime = _LIFETIME
        refresh = document.get("refresh_token")
        return Token(
            value,
            # A tenth of its life, at most ten seconds, is left for the way and for clocks.
            stale_at=started + lifetime - min(10.0, lifetime / 10),
            identity_token=refresh if isinstance(refresh, str) else "",
        )
