"""Tokens: JSON Web Tokens with an ``access`` claim, as the Docker token specification has them.

Verified are, in this order: size and form, the algorithm against the list allowed here, the
signing key, the signature, issuer, audience, not-before and issued-at. Whether a token has expired
is left to the caller, who may have a reason to accept one (``Token.expired``).
"""

import binascii
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter
from joserfc.util import urlsafe_b64decode

from longshore.access.keys import TrustedKeys, UntrustedKey
from longshore.access.model import Access, Action

#: What distribution takes, and takes by default. The algorithm "none" is not among them.
ALGORITHMS: Final = (
    *("EdDSA", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512"),
    *("ES256", "ES384", "ES512", "PS256", "PS384", "PS512"),
)
#: Seconds by which the clocks of token server and registry may differ.
LEEWAY: Final = 60.0
#: The claim in which our own tokens carry what ends them early.
SEAL: Final = "longshore_seal"
_END: Final = 1e15
#: Tokens with a few hundred scopes stay well below.
_MAX_LENGTH: Final = 65536

_BAD_ACCESS: Final = "its claim 'access' is no list of {type, name, actions}"

_Rights = Mapping[tuple[str, str], frozenset[str]]


class InvalidToken(Exception):
    """A token that grants nothing. The message finishes the sentence "the token was refused: ..."
    and shows nothing of the token's signature."""


@dataclass(frozen=True, slots=True)
class Token:
    """A verified token. ``subject`` is empty for anonymous; ``expires`` is in POSIX seconds;
    ``rights`` maps (type, name) to actions; ``seal`` is a claim of our own tokens; ``leeway`` is how
    much clocks may differ."""

    subject: str
    expires: float
    rights: _Rights = field(default_factory=dict)
    seal: str = ""
    leeway: float = LEEWAY

    def expired(self, now: float) -> bool:
        return now > self.expires + self.leeway

    def overdue(self, now: float, upload_owner: str | None) -> bool:
        """Whether the token is used past its end, as its subject may for uploads it had begun.
        Raises InvalidToken when it has ended and may not."""
        if not self.expired(now):
            return False
        if self.subject == upload_owner:
            return True
        raise InvalidToken(f"it expired {now - self.expires:.0f} seconds ago")

    def missing(self, wanted: Sequence[Access]) -> list[Access]:
        """The part of ``wanted`` that the token does not grant; ``*`` grants every action."""
        lacking = []
        for access in wanted:
            granted = self.rights.get((access.type, access.name), frozenset())
            if Action.ANY in granted:
                continue
            actions = tuple(action for action in access.actions if action not in granted)
            if actions:
                lacking.append(Access(access.type, access.name, actions))
        return lacking


class _Signatures(JWSRegistry):
    """joserfc's registry, with room for certificate chains, and closed to what is not listed."""

    max_header_length = 32768
    max_signature_length = 4096

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(name)
        # The inherited method warns about EdDSA being renamed (RFC 9864) on every token.
        return self.algorithms[name]


#: Extensions that a verifier must understand: we understand none, so none is accepted.
_REFUSED: Final = {
    "crit": HeaderParameter("Critical", "none"),
    "b64": HeaderParameter("Unencoded payload", "none"),
}


class TokenVerifier:
    """Verifies tokens of one issuer for one service. Processor time only: call it in a thread."""

    def __init__(
        self,
        issuer: str,
        service: str,
        algorithms: Collection[str] = ALGORITHMS,
        *,
        leeway: float = LEEWAY,
        allowed_by: str = "auth.token.signingalgorithms",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``service`` is the audience asked for; ``leeway`` how much clocks may differ when a token
        ends; ``allowed_by`` what a refusal says the algorithms come from; ``clock`` tells POSIX
        seconds."""
        self._leeway = leeway
        self._allowed_by = allowed_by
        self._issuer = issuer
        self._service = service
        self._clock = clock
        self._algorithms = frozenset(algorithms)
        self._signatures = _Signatures(_REFUSED, self._algorithms, strict_check_header=False)

    def verify(self, text: str, keys: TrustedKeys) -> Token:
        """The token in ``text``, whose signature is good. Raises InvalidToken."""
        header = _header(text)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise InvalidToken(
                f"its algorithm {str(algorithm)[:40]!r} is not one of {self._allowed_by} "
                f"({', '.join(sorted(self._algorithms))})"
            )
        if "crit" in header or "b64" in header:
            raise InvalidToken("its header asks for extensions (crit, b64)")
        now = self._clock()
        try:
            key = keys.find(header, datetime.fromtimestamp(now, UTC))
            # The key's type decides which algorithms it may be used with: joserfc refuses HS*
            # for anything but a shared secret, so a public key never becomes one.
            claims = jwt.decode(text, key, registry=self._signatures).claims
        except UntrustedKey as error:
            raise InvalidToken(str(error)) from error
        except BadSignatureError as error:
            raise InvalidToken("its signature is wrong") from error
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise InvalidToken(f"it cannot be verified ({type(error).__name__})") from error
        self._check(claims, now)
        return Token(
            _text(claims, "sub"),
            _time(claims, "exp"),
            _rights(claims),
            _text(claims, SEAL),
            self._leeway,
        )

    def _check(self, claims: Mapping[str, Any], now: float) -> None:
        if claims.get("iss") != self._issuer:
            raise InvalidToken(
                f"its issuer is {str(claims.get('iss'))[:100]!r} and not {self._issuer!r} "
                "(auth.token.issuer)"
            )
        audience = claims.get("aud")
        if self._service not in (audience if isinstance(audience, list) else [audience]):
            raise InvalidToken(
                f"it is for {str(audience)[:100]!r} and not for {self._service!r} "
                "(auth.token.service)"
            )
        for claim in ("nbf", "iat"):
            if claims.get(claim) is not None and _time(claims, claim) > now + LEEWAY:
                raise InvalidToken(
                    f"it begins in the future ({claim}); are the clocks of the token server "
                    "and of the registry right?"
                )


def _header(text: str) -> dict[str, Any]:
    if len(text) > _MAX_LENGTH:
        raise InvalidToken(f"it has {len(text)} bytes, more than the {_MAX_LENGTH} that are read")
    parts = text.split(".")
    if len(parts) != 3:
        raise InvalidToken("it is not of the form header.claims.signature")
    if len(parts[0]) > _Signatures.max_header_length:
        raise InvalidToken(f"its header is longer than {_Signatures.max_header_length} bytes")
    try:
        header = json.loads(urlsafe_b64decode(parts[0].encode("latin-1")))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidToken("its header is not Base64url of JSON") from error
    if not isinstance(header, dict):
        raise InvalidToken("its header is no JSON object")
    return header


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidToken(f"its claim {name!r} is no text")
    return value


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # NaN compares false with everything, so it would never expire; the bound keeps ints that no
    # float can hold away from arithmetic.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _END:
        raise InvalidToken(f"its claim {name!r} is no time in POSIX seconds")
    return float(value)


def _rights(claims: Mapping[str, Any]) -> _Rights:
    """The ``access`` claim. A type may carry a class, ``repository(plugin)``, which is dropped."""
    rights: dict[tuple[str, str], frozenset[str]] = {}
    entries = claims.get("access") or []
    if not isinstance(entries, list):
        raise InvalidToken(_BAD_ACCESS)
    for entry in entries:
        if not isinstance(entry, dict):
            raise InvalidToken(_BAD_ACCESS)
        kind, name, actions = entry.get("type"), entry.get("name"), entry.get("actions") or []
        if not isinstance(kind, str) or not isinstance(name, str) or not _all_text(actions):
            raise InvalidToken(_BAD_ACCESS)
        key = (kind.partition("(")[0], name)
        rights[key] = rights.get(key, frozenset()) | frozenset(actions)
    return rights


def _all_text(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
