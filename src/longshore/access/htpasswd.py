"""The htpasswd file: one ``name:hash`` a line, ``#`` begins a comment line."""

import hashlib
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from longshore.access import passwords
from longshore.access.errors import AccessError

logger = logging.getLogger(__name__)

#: Who is made up when the file is missing; distribution's choice.
DEFAULT_USER: Final = "docker"


@dataclass(frozen=True, slots=True)
class Users:
    """Names and usable hashes. ``decoy`` stands in for the hash of anybody else; ``seals`` hold
    for each name something that changes when the password does."""

    hashes: Mapping[str, str] = field(repr=False)
    decoy: str = field(repr=False)
    seals: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, hashes: Mapping[str, str]) -> "Users":
        seals = {
            name: hashlib.sha256(hashed.encode()).hexdigest()[:16]
            for name, hashed in hashes.items()
        }
        return cls(hashes, passwords.decoy(hashes.values()), seals)

    def verify(self, name: str, password: bytes) -> bool:
        """Whether ``password`` is that of ``name``; as slow for unknown names as for known ones.
        Takes milliseconds of processor time."""
        known = self.hashes.get(name)
        right = passwords.verify(known or self.decoy, password)
        return right and known is not None


def parse(data: bytes, path: Path) -> Users:
    """The users in a file's content. As in distribution, a later line for a name wins.

    Users with a hash we do not verify are left out, with a warning in the log: the others go on
    working. Raises AccessError, with the line, for what is no htpasswd file.
    """
    hashes: dict[str, str] = {}
    for name, (hashed, number) in entries(data, path).items():
        complaint = passwords.complaint(hashed)
        if complaint is None:
            hashes[name] = hashed
            continue
        logger.warning(
            "%s line %d: user %r cannot log in: the hash is %s, and only bcrypt and argon2 are "
            "accepted; set the password again with: longshore htpasswd -B %s %s",
            *(path, number, name, complaint, path, name),
        )
    if not hashes:
        logger.warning(
            "%s: no user can log in; add one with: longshore htpasswd -B %s NAME", path, path
        )
    return Users.of(hashes)


def entries(data: bytes, path: Path) -> dict[str, tuple[str, int]]:
    """Name -> (hash, line number). Raises AccessError for a line without a name and a colon."""
    found: dict[str, tuple[str, int]] = {}
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AccessError(f"{path}: not UTF-8 at byte {error.start}") from error
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, colon, hashed = entry.partition(":")
        if not colon or not name:
            # Never show the line: it may hold a password.
            raise AccessError(
                f"{path} line {number}: not of the form name:hash; "
                "add users with: longshore htpasswd -B FILE NAME"
            )
        found[name] = (hashed, number)
    return found


def create_if_missing(path: Path) -> bool:
    """Make a file with one user and a random password, shown once in the log, as distribution
    does. True when it was made. Raises AccessError when the place cannot be written.

    Of several processes that start together exactly one makes it.
    """
    try:
        if path.exists():
            return False
        password = secrets.token_urlsafe(32)
        line = f"{DEFAULT_USER}:{passwords.hash_password(password.encode())}\n"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _open_new(path)
        if descriptor is None:
            return False
        with open(descriptor, "w") as file:
            file.write(line)
    except OSError as error:
        raise AccessError(
            f"{path}: there is no such file and it cannot be made ({error.strerror}); "
            "make it with: longshore htpasswd -c -B FILE NAME"
        ) from error
    logger.warning(
        "%s did not exist and was made with the user %r and the password %r; this is shown once",
        *(path, DEFAULT_USER, password),
    )
    return True


def _open_new(path: Path) -> int | None:
    """None when another process was quicker."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return None
