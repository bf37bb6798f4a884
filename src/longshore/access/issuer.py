"""Our own tokens, for registries where some things need a login and others do not.

A Basic challenge cannot say that: Docker's classic image store then refuses to pull without
credentials at all, and when ``/v2/`` does not challenge, ``docker login`` accepts any password and
pushes never log in. With a Bearer challenge every client asks this token endpoint, with
credentials or without, and gets a token for what it may do: the Docker token protocol.

Tokens are HMAC-SHA256 signed with a secret that all processes and nodes share, and live for
minutes. Each carries a seal of its user's password: it ends with a change of the password.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import OctKey

from longshore.access.challenge import origin
from longshore.access.keys import TrustedKeys
from longshore.access.model import Action, Principal
from longshore.access.rules import Policy
from longshore.access.token import SEAL, Token, TokenVerifier
from longshore.http.request import Request

#: Also the audience of the tokens.
SERVICE: Final = "longshore"
#: Below /v2/, so that a proxy which passes the registry's API passes this too.
PATH: Final = "/v2/token"
_SECONDS: Final = 300
_MAX_SCOPES: Final = 100
_ACTIONS: Final = (Action.PULL, Action.PUSH, Action.DELETE)

Scopes = dict[tuple[str, str], tuple[Action, ...]]


class TokenIssuer:
    """Signs and verifies tokens of this registry."""

    def __init__(
        self,
        secret: bytes,
        *,
        host: str = "",
        prefix: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``secret`` is shared by all processes of a registry; ``host`` is the registry's
        external URL, empty for whatever the client used; ``prefix`` is the path below which the
        registry lies; ``clock`` tells POSIX seconds."""
        derived = hmac.digest(secret, b"longshore access token", "sha256")
        self._key = OctKey.import_key(derived)
        self._keys = TrustedKeys({SERVICE: self._key})
        self._verifier = TokenVerifier(SERVICE, SERVICE, ["HS256"], clock=clock)
        self._clock = clock
        self._host = host.rstrip("/")
        self._path = prefix.rstrip("/") + PATH

    def realm(self, request: Request) -> str:
        """The URL of the token endpoint for the client that sent ``request``."""
        return f"{self._host or origin(request)}{self._path}"

    def issue(self, principal: Principal, seal: str, scopes: Scopes) -> dict[str, Any]:
        """The token endpoint's reply: a token for ``scopes``, under both names clients read."""
        now = int(self._clock())
        claims = {
            "iss": SERVICE,
            "aud": SERVICE,
            "sub": principal.name,
            "iat": now,
            "nbf": now,
            "exp": now + _SECONDS,
            "jti": secrets.token_hex(8),
            "access": [
                {"type": kind, "name": name, "actions": list(actions)}
                for (kind, name), actions in scopes.items()
            ],
            SEAL: seal,
        }
        token = jwt.encode({"alg": "HS256", "kid": SERVICE}, claims, self._key)
        issued = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "token": token,
            "access_token": token,
            "expires_in": _SECONDS,
            "issued_at": issued,
            "scope": " ".join(
                f"{kind}:{name}:{','.join(actions)}" for (kind, name), actions in scopes.items()
            ),
        }

    def verify(self, text: str) -> Token:
        """The token in ``text``. Some ten microseconds. Raises InvalidToken."""
        return self._verifier.verify(text, self._keys)


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
