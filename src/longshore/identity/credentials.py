"""Secrets of programs: made here or chosen, replaced while both count for a while, and where from they count.

What is made here has 256 random bits: a fast hash is enough. What somebody chose is hashed as passwords are.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from longshore.access import passwords
from longshore.identity import validation
from longshore.identity.errors import IdentityError

Network = IPv4Network | IPv6Network

#: What is made here begins with one of them: programs that look for secrets in files know it by that.
ROBOT_PREFIX: Final = "lsb_"
PERSONAL_PREFIX: Final = "lsp_"
#: How long what is made here is.
LENGTH: Final = len(ROBOT_PREFIX) + 43
#: The longest time that two secrets count, in seconds.
LONGEST_OVERLAP: Final = 90 * 86400.0
_MADE: Final = "sha256:"
_MOST_NETWORKS: Final = 50


@dataclass(frozen=True, slots=True)
class Credential:
    """The secret of a robot or an access token, as hashes. ``former_hash`` counts until ``former_until``; it
    all ends at ``expires_at`` (None: never). Times are POSIX seconds."""

    id: int
    secret_hash: str
    former_hash: str | None
    former_until: float | None
    expires_at: float | None
    networks: tuple[str, ...]
    created_at: float
    updated_at: float
    last_used_at: float | None
    last_used_from: str

    def expired(self, now: float) -> bool:
        """Whether it has ended."""
        return self.expires_at is not None and self.expires_at <= now

    def former(self, now: float) -> str | None:
        """The hash of the secret before, if that counts still."""
        return (
            self.former_hash if self.former_until is not None and now < self.former_until else None
        )

    def hashes(self, now: float) -> list[str]:
        """Those of the secrets that count."""
        return list(filter(None, (self.secret_hash, self.former(now))))


def make(prefix: str) -> tuple[str, str]:
    """A new secret, and its hash. It has what Harbor wants secrets to have: capitals, small letters, digits."""
    while True:
        text = prefix + secrets.token_urlsafe(32)
        try:
            validation.password(text)
        except IdentityError:
            continue
        return text, digest(text.encode())


def digest(secret: bytes) -> str:
    """The hash of a secret that was made here."""
    return _MADE + hashlib.sha256(secret).hexdigest()


def hash_chosen(secret: str) -> str:
    """The hash of a secret that somebody chose. Takes as long as for a password. Raises IdentityError for
    one that is too easy."""
    return passwords.hash_argon2(validation.password(secret))


def is_made(secret: bytes, prefix: str) -> bool:
    """Whether ``secret`` looks as if it had been made here."""
    return len(secret) == LENGTH and secret.startswith(prefix.encode())


def made(secret: bytes, hashes: Iterable[str]) -> str | None:
    """The one of ``hashes`` that is the hash of a secret made here."""
    wanted = digest(secret)
    return next((found for found in hashes if hmac.compare_digest(wanted, found)), None)


def chosen(secret: bytes, hashes: Iterable[str], decoy: str) -> str | None:
    """The one of ``hashes`` that is the hash of a chosen secret. Takes as long when there is none: that of
    ``decoy``."""
    slow = [found for found in hashes if not found.startswith(_MADE)]
    right = [found for found in slow or [decoy] if passwords.verify(found, secret)]
    return right[0] if right and slow else None


def seal(kind: str, id: int, hashed: str) -> str:
    """What changes when the secret does, and for whoever has the name later."""
    return hashlib.sha256(f"{kind}:{id}:{hashed}".encode()).hexdigest()[:16]


def networks(given: Iterable[str]) -> list[str]:
    """Networks as they are kept: CIDR, or one address. Raises IdentityError."""
    found = []
    for text in given:
        try:
            found.append(str(ip_network(text.strip(), strict=False)))
        except ValueError as error:
            raise IdentityError(
                f"{text[:60]!r} is no network: write one as 10.1.0.0/16, 2001:db8::/32 or 192.0.2.7"
            ) from error
    if len(found) > _MOST_NETWORKS:
        raise IdentityError(f"there are {len(found)} networks; at most {_MOST_NETWORKS} are kept")
    return list(dict.fromkeys(found))


def parsed(kept: Iterable[str]) -> tuple[Network, ...]:
    """Networks as they are compared."""
    return tuple(ip_network(text) for text in kept)


def is_among(address: str, allowed: tuple[Network, ...]) -> bool:
    """Whether ``address`` lies in one of the networks; what is no address does not."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return any(mapped in network for network in allowed)


def former_until(credential: Credential, seconds: float, now: float) -> float | None:
    """Until when the secret that is replaced counts beside the new one, for ``seconds`` at most: it gets no longer
    life from its successor than it had. None: no longer. Raises IdentityError."""
    if not 0 <= seconds <= LONGEST_OVERLAP:
        raise IdentityError(
            f"the secret before cannot count for {seconds:g} seconds more: 0 to {LONGEST_OVERLAP:.0f}"
        )
    ends = (
        now + seconds
        if credential.expires_at is None
        else min(now + seconds, credential.expires_at)
    )
    return ends if ends > now else None
