"""Who a client says it is, and where it finds that out."""

import base64
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Credential:
    """A login at one registry: a name with a password, or a token that stands for both.

    `identity_token` is what a token server gave at login in place of the password (a refresh
    token); `registry_token` is sent to the registry as it is. Secrets are not shown by repr().
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617, in UTF-8)."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"


class CredentialSource(Protocol):
    """Finds the credential for a registry."""

    async def find(self, registry: str) -> Credential | None:
        """The credential for `host[:port]`, or None to go on anonymously.

        Raises CredentialsUnavailable when there should be one but it cannot be read.
        """
        ...


class Anonymous:
    """No credentials for anybody."""

    async def find(self, registry: str) -> Credential | None:
        """Always None."""
        return None


@dataclass(frozen=True)
class OneCredential:
    """One credential, for every registry that is asked: give it to one client only."""

    credential: Credential

    async def find(self, registry: str) -> Credential | None:
        """Always the same."""
        return self.credential
