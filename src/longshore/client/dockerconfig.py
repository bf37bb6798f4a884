"""The logins that docker, podman and Longshore share: config.json and auth.json.

Read: `$REGISTRY_AUTH_FILE`, docker's `config.json` (in `$DOCKER_CONFIG` or `~/.docker`), then
the `auth.json` of podman and skopeo (containers-auth.json(5)); the first that knows a registry
wins. Written: `$REGISTRY_AUTH_FILE` if it is set, otherwise docker's file.
"""

import base64
import binascii
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import orjson

from longshore.client.addresses import registry_name
from longshore.client.credentials import Credential
from longshore.client.credhelper import TOKEN_USER, CredentialHelper
from longshore.client.errors import CredentialsUnavailable, LocationInvalid
from longshore.oci.reference import DOCKER_HUB

#: What docker's tools have called Docker Hub since before it had a `/v2/`.
DOCKER_HUB_KEY: Final = "https://index.docker.io/v1/"
_LARGEST_FILE = 4 * 1024 * 1024

Document = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """Where a login went: a helper's program, or the file in which it lies unencrypted."""

    helper: str = ""
    file: Path | None = None


class AuthFile:
    """One file of logins. Keys that are not understood here are kept as they are."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path = path
        self._environment = environment

    async def find(self, registry: str) -> Credential | None:
        """The login for a registry: from its helper, or else from the file itself."""
        document = await anyio.to_thread.run_sync(self._read)
        helper = self._helper(document, registry)
        if helper and (found := await helper.get(config_key(registry))):
            return found
        entries = _section(document, "auths").items()
        # podman may keep logins of single namespaces as well; one of the whole registry is better.
        for key, value in sorted(entries, key=lambda entry: not _same_registry(entry[0], registry)):
            if _within_registry(key, registry) and isinstance(value, dict):
                return self._decode(key, value)
        return None

    async def store(self, registry: str, credential: Credential) -> Stored:
        """Remember a login, in the helper that is configured or else in the file."""
        document = await anyio.to_thread.run_sync(self._read)
        key = config_key(registry)
        helper = self._helper(document, registry)
        if helper:
            await helper.store(key, credential)
            entry: Document = {}  # docker, too, lists there what the helper holds
        else:
            entry = _encode(credential)
        await anyio.to_thread.run_sync(self._update, registry, key, entry)
        return Stored(helper=helper.program) if helper else Stored(file=self.path)

    async def erase(self, registry: str) -> bool:
        """Forget a login; whether there was one."""
        document = await anyio.to_thread.run_sync(self._read)
        helper = self._helper(document, registry)
        known = helper is not None and await helper.get(config_key(registry)) is not None
        if helper and known:
            await helper.erase(config_key(registry))
        listed = any(_same_registry(key, registry) for key in _section(document, "auths"))
        if listed:
            await anyio.to_thread.run_sync(self._update, registry, "", None)
        return known or (listed and helper is None)

    def _helper(self, document: Document, registry: str) -> CredentialHelper | None:
        for key, name in _section(document, "credHelpers").items():
            if _same_registry(key, registry) and isinstance(name, str):
                return CredentialHelper(name, self._environment)
        store = document.get("credsStore")
        return (
            CredentialHelper(store, self._environment) if isinstance(store, str) and store else None
        )

    def _read(self) -> Document:
        try:
            with self.path.open("rb") as source:
                content = source.read(_LARGEST_FILE)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise CredentialsUnavailable(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            document = orjson.loads(content or b"{}")
        except ValueError as error:
            raise CredentialsUnavailable(f"{self.path} is not valid JSON: {error}") from error
        if not isinstance(document, dict):
            raise CredentialsUnavailable(f"{self.path} holds no JSON object")
        return document

    def _update(self, registry: str, key: str, entry: Document | None) -> None:
        document = self._read()
        auths = _section(document, "auths")
        kept = {name: value for name, value in auths.items() if not _same_registry(name, registry)}
        if entry is not None:
            kept[key] = entry
        document["auths"] = kept
        try:
            # A configuration kept elsewhere and linked to stays linked.
            _replace(Path(os.path.realpath(self.path)), document)
        except OSError as error:
            raise CredentialsUnavailable(
                f"{self.path} cannot be written: {error.strerror}"
            ) from error

    def _decode(self, key: str, entry: Mapping[str, Any]) -> Credential | None:
        def text(name: str) -> str:
            value = entry.get(name)
            return value if isinstance(value, str) else ""

        username, password = text("username"), text("password")
        if encoded := text("auth"):
            try:
                pair = base64.b64decode(encoded, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise CredentialsUnavailable(
                    f"{self.path}: auths.{key}.auth is not base64 of user:password; log in again"
                ) from None
            username, _, password = pair.rstrip("\0").partition(":")
        token, registry_token = text("identitytoken"), text("registrytoken")
        if username == TOKEN_USER and not token:
            username, password, token = "", "", password
        if not (username or token or registry_token):
            return None
        return Credential(username, password, token, registry_token)


class LoginFiles:
    """Every file of logins, in the order in which they are asked."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        home = Path(environment.get("HOME") or Path.home())
        docker = Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
        settings = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        paths = [docker]
        if runtime := environment.get("XDG_RUNTIME_DIR"):
            paths.append(Path(runtime) / "containers" / "auth.json")
        paths.append(settings / "containers" / "auth.json")
        if chosen := environment.get("REGISTRY_AUTH_FILE"):
            paths.insert(0, Path(chosen))
        self._files = [AuthFile(path, environment) for path in paths]

    async def find(self, registry: str) -> Credential | None:
        """The login for a registry, from the first file that has one."""
        for file in self._files:
            if found := await file.find(registry):
                return found
        return None

    async def store(self, registry: str, credential: Credential) -> Stored:
        """Remember a login; returns where."""
        return await self._files[0].store(registry, credential)

    async def erase(self, registry: str) -> bool:
        """Forget a login; whether there was one."""
        return await self._files[0].erase(registry)


def config_key(registry: str) -> str:
    """The key under which docker keeps a registry's login."""
    return DOCKER_HUB_KEY if registry == DOCKER_HUB else registry


def _same_registry(key: str, registry: str) -> bool:
    path = key.partition("://")[2] or key
    whole = path.partition("/")[2].strip("/") in ("", "v1", "v2")
    return whole and _within_registry(key, registry)


def _within_registry(key: str, registry: str) -> bool:
    try:
        return registry_name(key) == registry
    except LocationInvalid:
        return False


def _section(document: Document, name: str) -> Document:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _encode(credential: Credential) -> Document:
    # As docker writes it: a token keeps the user's name, but not the password it stands for.
    password = "" if credential.identity_token else credential.password
    pair = f"{credential.username}:{password}".encode()
    entry = {"auth": base64.b64encode(pair).decode("ascii")}
    if credential.identity_token:
        entry["identitytoken"] = credential.identity_token
    return entry


def _replace(path: Path, document: Document) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as sink:
            sink.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
            sink.flush()
            os.fsync(sink.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
