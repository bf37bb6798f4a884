"""Our own tokens, for registries where some things need a login and others do not.

A Basic challenge cannot say that: Docker's classic image store then refuses to pull without
credentials at all, and when ``/v2/`` does not challenge, ``docker login`` accepts any password and
pushes never log in. With a Bearer challenge every client asks this token endpoint, with
credentials or without, and gets a token for what it may do: the Docker token protocol.

Tokens are signed with what :class:`SigningKeys` has: a secret that all processes and nodes share
(HMAC-SHA256), or key pairs in the database (:mod:`longshore.identity.signing`). They live for
minutes. Each carries a seal of its user's password: it ends with a change of the password.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import anyio.to_thread
from joserfc import jwt
from joserfc.jwk import Key, OctKey

from longshore.access.challenge import origin
from longshore.access.keys import TrustedKeys, UntrustedKey
from longshore.access.model import Action, Principal
from longshore.access.rules import Policy
from longshore.access.token import LEEWAY, SEAL, InvalidToken, Token, TokenVerifier
from longshore.http.request import Request

#: Also the audience of the tokens.
SERVICE: Final = "longshore"
#: Below /v2/, so that a proxy which passes the registry's API passes this too.
PATH: Final = "/v2/token"
#: Where Harbor has its own.
HARBOR_PATH: Final = "/service/token"
LIFETIME: Final = 300
_MAX_SCOPES: Final = 100
OWN_KEYS: Final = "not (or no longer) one of this registry's"
_ACTIONS: Final = (Action.PULL, Action.PUSH, Action.DELETE)

Scopes = dict[tuple[str, str], tuple[Action, ...]]


@dataclass(frozen=True, slots=True)
class Signer:
    """What signs: ``key`` is a secret or has a private part; ``kid`` is what headers call it."""

    algorithm: str
    kid: str
    key: Key


class SigningKeys(Protocol):
    """What tokens of this registry are signed with and verified by."""

    #: Grows whenever a key went or came: what was verified before may not be valid any more.
    generation: int
    #: What headers may name.
    algorithms: tuple[str, ...]
    trusted: TrustedKeys

    @property
    def signer(self) -> Signer:
        """The key that signs now. Raises Undecipherable when it cannot be read."""

    async def fresh(self) -> None:
        """Learn of other keys, unless that was done a short while ago."""

    async def search(self) -> bool:
        """Learn of other keys now, because a token names an unknown one; whether that was done."""

    def published(self) -> list[dict[str, Any]]:
        """The public keys as a JSON Web Key Set has them (RFC 7517); none for a shared secret."""


class SharedSecret:
    """HMAC-SHA256 with a secret that is the same in every process and on every node."""

    generation = 0
    algorithms: tuple[str, ...] = ("HS256",)

    def __init__(self, secret: bytes) -> None:
        key = OctKey.import_key(hmac.digest(secret, b"longshore access token", "sha256"))
        self.signer = Signer("HS256", SERVICE, key)
        self.trusted = TrustedKeys({SERVICE: key}, places=OWN_KEYS)

    async def fresh(self) -> None:
        """Nothing changes."""

    async def search(self) -> bool:
        """There are no other keys."""
        return False

    def published(self) -> list[dict[str, Any]]:
        """A secret is not published."""
        return []


class TokenIssuer:
    """Signs and verifies tokens of this registry."""

    def __init__(
        self,
        keys: SigningKeys,
        *,
        host: str = "",
        prefix: str = "",
        path: str = PATH,
        lifetime: float = LIFETIME,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``host`` is the registry's external URL, empty for whatever the client used; ``prefix`` is
        the path below which the registry lies, ``path`` where the challenge sends clients;
        ``lifetime`` of tokens in seconds; ``clock`` tells POSIX seconds."""
        self._keys = keys
        self._verifier = TokenVerifier(
            SERVICE,
            SERVICE,
            keys.algorithms,
            # One registry, one issuer: a difference of clocks must not multiply a short life.
            leeway=min(LEEWAY, lifetime / 5),
            allowed_by="the algorithms of this registry",
            clock=clock,
        )
        self._clock = clock
        self._lifetime = max(1, round(lifetime))
        self._host = host.rstrip("/")
        self._path = prefix.rstrip("/") + path

    @property
    def publishes(self) -> bool:
        """Whether there are public keys, with which others may verify the tokens."""
        return "HS256" not in self._keys.algorithms

    @property
    def generation(self) -> int:
        """Grows with every change of the keys; what was verified in another one counts no more."""
        return self._keys.generation

    async def fresh(self) -> None:
        """Learn of other keys, now and then; ask before ``generation``."""
        await self._keys.fresh()

    async def published(self) -> list[dict[str, Any]]:
        """The public keys, as a JSON Web Key Set has them."""
        await self._keys.fresh()
        return self._keys.published()

    def realm(self, request: Request) -> str:
        """The URL of the token endpoint for the client that sent ``request``."""
        return f"{self._host or origin(request)}{self._path}"

    async def issue(
        self, principal: Principal, seal: str, scopes: Scopes, *, lifetime: float | None = None
    ) -> dict[str, Any]:
        """The token endpoint's reply: a token for ``scopes``, under both names clients read, that lasts
        ``lifetime`` seconds (None: as always here). Raises Unavailable when the key that signs cannot be had."""
        await self._keys.fresh()
        signer = self._keys.signer
        now = int(self._clock())
        seconds = self._lifetime if lifetime is None else max(1, round(lifetime))
        claims = {
            "iss": SERVICE,
            "aud": SERVICE,
            "sub": principal.name,
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "jti": secrets.token_hex(8),
            "access": [
                {"type": kind, "name": name, "actions": list(actions)}
                for (kind, name), actions in scopes.items()
            ],
            SEAL: seal,
        }
        if signer.key.key_type == "RSA":  # a millisecond; the others take less than a thread does
            token = await anyio.to_thread.run_sync(_sign, signer, claims)
        else:
            token = _sign(signer, claims)
        issued = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "token": token,
            "access_token": token,
            "expires_in": seconds,
            "issued_at": issued,
            "scope": " ".join(
                f"{kind}:{name}:{','.join(actions)}" for (kind, name), actions in scopes.items()
            ),
        }

    async def verify(self, text: str) -> Token:
        """The token in ``text``. Raises InvalidToken."""
        await self._keys.fresh()
        try:
            return self._verifier.verify(text, self._keys.trusted)
        except InvalidToken as error:
            # Another node may have made the key a moment ago.
            if not isinstance(error.__cause__, UntrustedKey) or not await self._keys.search():
                raise
        return self._verifier.verify(text, self._keys.trusted)


def _sign(signer: Signer, claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": signer.algorithm, "kid": signer.kid}, claims, signer.key)


def granted(policy: Policy, principal: Principal, asked: Scopes) -> Scopes:
    """The part of ``asked`` that ``principal`` may have; a smaller part is a normal answer."""
    found: Scopes = {}
    for (kind, name), actions in asked.items():
        allowed = policy.allowed(principal, kind, name)
        kept = tuple(action for action in actions if action in allowed)
        if kept:
            found[kind, name] = kept
    return found


def parse_scopes(values: Iterable[str]) -> Scopes:
    """The scopes of a token request: ``type[(class)]:name:actions``, separated by spaces or in
    several parameters; the name may hold a colon. What does not follow that is passed over, as
    everything unknown is simply not granted."""
    found: Scopes = {}
    for text in [scope for value in values for scope in value.split()][:_MAX_SCOPES]:
        kind, first, rest = text.partition(":")
        name, second, actions = rest.rpartition(":")
        key = (kind.partition("(")[0], name)
        if not (first and second and all(key)):
            continue
        merged = dict.fromkeys(found.get(key, ()))
        merged.update(dict.fromkeys(_actions(key[0], actions.split(","))))
        found[key] = tuple(merged)
    return found


def _actions(kind: str, names: Iterable[str]) -> Iterable[Action]:
    known: Mapping[str, Action] = {action.value: action for action in Action}
    for name in names:
        action = known.get(name)
        if action is Action.ANY and kind == "repository":
            yield from _ACTIONS
        elif action is not None:
            yield action
