"""Secrets that must be read again: encrypted in the database, with keys from elsewhere.

A column of the type :class:`longshore.db.schema.EncryptedText` holds what :meth:`Encryption.encrypt`
returned. Naming the type is all that a table has to do: ``longshore encryption rotate`` finds the column.

The form is Fernet's (https://github.com/fernet/spec: AES-128-CBC and HMAC-SHA256): who can only read the
database learns nothing, and who writes to it without a key is noticed.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from longshore.oci.errors import Unavailable

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet


class Undecipherable(Unavailable):
    """No key decrypts something: none is the one it was encrypted with, or it was changed."""


class Encryption:
    """Encrypts and decrypts short texts. Some thirty microseconds each; safe in any thread."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """The first of ``secrets`` encrypts, all of them decrypt. At least one."""
        # One step of HMAC: these are random, or nothing that a slow hash could save.
        self._keys = tuple(
            urlsafe_b64encode(hmac.digest(secret.encode(), b"longshore encryption", "sha256"))
            for secret in dict.fromkeys(secrets)
        )
        if not self._keys:
            raise ValueError("encryption needs a key")

    def encrypt(self, text: str) -> str:
        """``text`` as it may be stored: never twice the same."""
        return self._all.encrypt(text.encode()).decode("ascii")

    def decrypt(self, stored: str) -> str:
        """What ``encrypt`` was given. Raises Undecipherable; the message shows nothing of it."""
        from cryptography.fernet import InvalidToken

        try:
            return self._all.decrypt(stored.encode()).decode()
        except (InvalidToken, UnicodeError) as error:
            raise Undecipherable(
                "a secret in the database cannot be decrypted: put the key that it was encrypted with "
                "(or the former http.secret) last into longshore.encryption.keys, or set the secret again"
            ) from error

    def is_current(self, stored: str) -> bool:
        """Whether ``stored`` is encrypted with the key that encrypts now."""
        from cryptography.fernet import InvalidToken

        try:
            self._first.decrypt(stored.encode())
        except (InvalidToken, UnicodeError):
            return False
        return True

    @cached_property
    def _first(self) -> "Fernet":
        # Here, because a registry without secrets does not pay for the library at its start.
        from cryptography.fernet import Fernet

        return Fernet(self._keys[0])

    @cached_property
    def _all(self) -> "MultiFernet":
        from cryptography.fernet import Fernet, MultiFernet

        return MultiFernet([Fernet(key) for key in self._keys])
