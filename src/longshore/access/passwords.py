"""Password hashes: bcrypt and argon2 are verified, everything else is refused by name."""

import base64
import re
import secrets
import string
from collections import Counter
from collections.abc import Iterable
from typing import Final

import argon2
import argon2.exceptions
import bcrypt

#: What Go's bcrypt, and so distribution, uses for the user it makes up.
DEFAULT_COST: Final = 10
#: bcrypt looks at no more than this many bytes of a password.
BCRYPT_BYTES: Final = 72
#: Above this much memory (KiB) for one check a hash is refused: several are checked at once.
_ARGON2_MEMORY: Final = 1024 * 1024

#: OWASP's first choice for argon2id: 19 MiB, some 20 ms; several are computed at once.
_ARGON2ID: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
_BCRYPT_ALPHABET: Final = string.ascii_letters + string.digits
_ARGON2 = re.compile(r"\$argon2(?:id|i|d)\$[!-~]+")
_DES_CRYPT = re.compile(r"[./A-Za-z0-9]{13}")
_OTHERS: Final = (
    ("$apr1$", "Apache's MD5 ($apr1$)"),
    ("$1$", "MD5 crypt ($1$)"),
    ("$5$", "SHA-256 crypt ($5$)"),
    ("$6$", "SHA-512 crypt ($6$)"),
    ("$2x$", "the faulty bcrypt variant $2x$"),
    ("$2", "damaged bcrypt"),
    ("$argon2", "damaged argon2"),
    ("$y$", "yescrypt ($y$)"),
    ("{SHA}", "unsalted SHA-1 ({SHA})"),
    ("{SSHA}", "salted SHA-1 ({SSHA})"),
)


def hash_password(password: bytes, cost: int = DEFAULT_COST) -> str:
    """A bcrypt hash with the prefix ``$2y$``, as Apache writes it. Raises ValueError for a
    password that bcrypt would cut off."""
    if len(password) > BCRYPT_BYTES:
        raise ValueError(
            f"the password has {len(password)} bytes; bcrypt uses no more than {BCRYPT_BYTES}"
        )
    # $2y$ and $2b$ name the same algorithm.
    return "$2y$" + bcrypt.hashpw(password, bcrypt.gensalt(cost)).decode("ascii")[4:]


def hash_argon2(password: bytes) -> str:
    """An argon2id hash, for passwords of any length. Takes milliseconds of processor time."""
    return _ARGON2ID.hash(password)


def verify(hashed: str, password: bytes) -> bool:
    """Whether ``password`` belongs to ``hashed``. Takes milliseconds to seconds of processor
    time. Longer passwords than bcrypt looks at are cut off, as every implementation used to."""
    if _BCRYPT.fullmatch(hashed):
        return bcrypt.checkpw(password[:BCRYPT_BYTES], hashed.encode("ascii"))
    if not _ARGON2.fullmatch(hashed):
        return False
    try:
        return argon2.PasswordHasher().verify(hashed, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def complaint(hashed: str) -> str | None:
    """Why ``hashed`` cannot be used, as the name of what it is; None when it can."""
    if _BCRYPT.fullmatch(hashed):
        return None
    if _ARGON2.fullmatch(hashed):
        return _argon2_complaint(hashed)
    for prefix, name in _OTHERS:
        if hashed.startswith(prefix):
            return name
    if _DES_CRYPT.fullmatch(hashed):
        return "DES crypt"
    return "no known password hash (plain text?)"


def _argon2_complaint(hashed: str) -> str | None:
    try:
        parameters = argon2.extract_parameters(hashed)
    except argon2.exceptions.InvalidHashError:
        return "damaged argon2"
    if parameters.memory_cost > _ARGON2_MEMORY:
        return f"argon2 with {parameters.memory_cost} KiB of memory (at most {_ARGON2_MEMORY})"
    return None


def decoy(hashes: Iterable[str]) -> str:
    """A hash that no password fits and that takes as long to check as most of ``hashes``.

    Checked in place of the hash that an unknown user does not have, so that the time of a refusal
    does not tell which users exist.
    """
    costs = Counter(_cost(hashed) for hashed in hashes if complaint(hashed) is None)
    prefix = costs.most_common(1)[0][0] if costs else f"$2b${DEFAULT_COST:02d}$"
    if _ARGON2.match(prefix):
        return f"{prefix}{_unpadded(16)}${_unpadded(32)}"
    salt = bcrypt.gensalt(4).decode("ascii")[7:]
    return prefix + salt + "".join(secrets.choice(_BCRYPT_ALPHABET) for _ in range(31))


def _cost(hashed: str) -> str:
    """The part of a usable hash that decides how long its check takes."""
    return hashed[:7] if _BCRYPT.fullmatch(hashed) else hashed.rsplit("$", 2)[0] + "$"


def _unpadded(size: int) -> str:
    return base64.b64encode(secrets.token_bytes(size)).decode("ascii").rstrip("=")
