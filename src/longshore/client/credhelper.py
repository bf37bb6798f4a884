"""Docker's credential helpers: programs that keep logins in the system's own store.

`docker-credential-NAME get|store|erase|list`, JSON or a registry's name on standard input
(github.com/docker/docker-credential-helpers).
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio
import orjson

from longshore.client.credentials import Credential
from longshore.client.errors import CredentialsUnavailable
from longshore.client.refusal import printable

#: The user name under which helpers keep an identity token.
TOKEN_USER: Final = "<token>"  # noqa: S105 a user name, not a secret
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND: Final = "credentials not found in native keychain"


@dataclass(frozen=True)
class CredentialHelper:
    """One helper by the NAME that config.json gives it. Times are in seconds."""

    name: str
    environment: Mapping[str, str]
    #: Some helpers ask a person for a fingerprint or a passphrase.
    timeout: float = 60

    async def get(self, server: str) -> Credential | None:
        """The login for a registry, or None if the helper has none."""
        output = await self._run("get", server.encode(), missing_is_fine=True)
        if output is None:
            return None
        found = self._parse(output)
        username, secret = found.get("Username", ""), found.get("Secret", "")
        if not isinstance(username, str) or not isinstance(secret, str):
            raise CredentialsUnavailable(f"{self.program} get: answered without Username, Secret")
        if username == TOKEN_USER:
            return Credential(identity_token=secret)
        return Credential(username, secret)

    async def store(self, server: str, credential: Credential) -> None:
        """Keep a login."""
        username = TOKEN_USER if credential.identity_token else credential.username
        secret = credential.identity_token or credential.password
        document = {"ServerURL": server, "Username": username, "Secret": secret}
        await self._run("store", orjson.dumps(document))

    async def erase(self, server: str) -> None:
        """Forget a login; there may be none."""
        await self._run("erase", server.encode(), missing_is_fine=True)

    async def list(self) -> Mapping[str, str]:
        """The user name of each registry that the helper has a login for."""
        return self._parse(await self._run("list", b"") or b"{}")

    @property
    def program(self) -> str:
        """The program's name."""
        return f"docker-credential-{self.name}"

    async def _run(self, verb: str, given: bytes, *, missing_is_fine: bool = False) -> bytes | None:
        if not _NAME.fullmatch(self.name):
            raise CredentialsUnavailable(f"{self.name!r} is not the name of a credential helper")
        try:
            with anyio.fail_after(self.timeout):
                done = await anyio.run_process(
                    [self.program, verb],
                    input=given,
                    check=False,
                    stderr=subprocess.PIPE,
                    env=self.environment,
                )
        except FileNotFoundError:
            raise CredentialsUnavailable(
                f"{self.program} is not installed, but the docker configuration names it: "
                "install it, or remove it from credsStore and credHelpers"
            ) from None
        except TimeoutError:
            raise CredentialsUnavailable(
                f"{self.program} {verb} did not answer within {self.timeout:g} s"
            ) from None
        except OSError as error:
            raise CredentialsUnavailable(f"{self.program} {verb}: {error}") from error
        if done.returncode == 0:
            return done.stdout
        # Helpers explain themselves on standard output.
        said = (done.stdout or done.stderr).decode(errors="replace").strip()
        if missing_is_fine and _NOT_FOUND in said:
            return None
        raise CredentialsUnavailable(
            f"{self.program} {verb} failed: {printable(said) or f'code {done.returncode}'}"
        )

    def _parse(self, output: bytes) -> Mapping[str, Any]:
        try:
            found = orjson.loads(output)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CredentialsUnavailable(f"{self.program} answered with something other than JSON")
        return found
