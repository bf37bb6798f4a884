"""A device that shows codes: RFC 6238 by the book, from what an otpauth:// URI says."""

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from longshore.telemetry import clock


@dataclass
class Time:
    """The clock of the registry and of devices: it stands, and jumps when it is told to."""

    now: float

    def jump(self, seconds: float = 30.0) -> None:
        self.now += seconds

    @classmethod
    def patched(cls, monkeypatch: pytest.MonkeyPatch) -> "Time":
        """From now on everything in this process goes by it."""
        found = cls(clock.timestamp())
        monkeypatch.setattr(clock, "timestamp", lambda: found.now)
        return found


@dataclass
class Device:
    """Has the secret of one account."""

    uri: str

    @property
    def secret(self) -> str:
        return parse_qs(urlsplit(self.uri).query)["secret"][0]

    @property
    def account(self) -> str:
        assert self.uri.startswith("otpauth://totp/")
        return unquote(urlsplit(self.uri).path[1:])

    def code(self, steps: int = 0) -> str:
        """What it shows now, or did, or will, ``steps`` from now."""
        counter = int(clock.timestamp() // 30) + steps
        key = base64.b32decode(self.secret)
        digest = hmac.digest(key, struct.pack(">Q", counter), hashlib.sha1)
        at = digest[-1] & 0xF
        number = struct.unpack(">I", digest[at : at + 4])[0] & 0x7FFFFFFF
        return f"{number % 10**6:06d}"

    def wrong(self) -> str:
        """Six digits that it does not show around now."""
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(code for code in map("{:06d}".format, range(10)) if code not in near)
