"""What a login has to remember between two requests, kept by the client: encrypted, for one purpose, and
not for long. So any process may go on with what another began."""

from typing import Any, Final

import orjson

from longshore.db.encryption import Encryption, Undecipherable
from longshore.telemetry import clock

#: Seconds that somebody may take to log in.
LIFETIME: Final = 600.0
_LONGEST: Final = 8192


class Sealed:
    """Seals and opens such texts."""

    def __init__(self, encryption: Encryption) -> None:
        self._encryption = encryption

    def seal(self, purpose: str, content: dict[str, Any], seconds: float = LIFETIME) -> str:
        """``content``, to be opened for the same purpose within ``seconds``."""
        whole = {"for": f"oidc {purpose}", "until": clock.timestamp() + seconds, **content}
        return self._encryption.encrypt(orjson.dumps(whole).decode())

    def open(self, purpose: str, text: str) -> dict[str, Any] | None:
        """What was sealed; None when it was for something else, is too old, or was never sealed here."""
        if not text or len(text) > _LONGEST:
            return None
        try:
            found: Any = orjson.loads(self._encryption.decrypt(text))
        except (Undecipherable, orjson.JSONDecodeError):
            return None
        if not isinstance(found, dict) or found.get("for") != f"oidc {purpose}":
            return None
        return dict(found) if found["until"] >= clock.timestamp() else None
