"""Certificates of the server: what is set, whether it fits together, and when it changed.

Client authentication has the names that distribution's configuration uses (Go's crypto/tls). Two
of its five values ask for a certificate without verifying it, which proves nothing: they are
refused, with the value to use instead.
"""

import hashlib
import os
import ssl
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path, PosixPath


class TLSFailed(Exception):
    """Certificate, key or authorities cannot be used. The message is the whole explanation."""


class ClientAuthentication(StrEnum):
    """What is asked of clients: nothing, a certificate if they have one, or a certificate."""

    NONE = "none"
    IF_GIVEN = "verify-client-cert-if-given"
    REQUIRED = "require-and-verify-client-cert"


class MinimumTLS(StrEnum):
    """The oldest protocol version that is spoken."""

    TLS12 = "tls1.2"
    TLS13 = "tls1.3"


@dataclass(frozen=True, slots=True)
class TLSOptions:
    """PEM files. ``certificate`` holds the server's certificate, then those of its issuers.
    ``client_authorities`` sign the certificates of clients (mutual TLS)."""

    certificate: Path
    key: Path
    minimum: MinimumTLS = MinimumTLS.TLS12
    client_authorities: tuple[Path, ...] = ()
    client_authentication: ClientAuthentication = ClientAuthentication.NONE

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.certificate, self.key, *self.client_authorities)

    def fingerprint(self) -> str:
        """Changes when the content of any file does, however it was replaced."""
        content = hashlib.sha256()
        for file in self.files:
            try:
                content.update(hashlib.sha256(file.read_bytes()).digest())
            except OSError as error:
                content.update(str(error).encode())
        return content.hexdigest()

    def check(self) -> None:
        """Raises TLSFailed unless files, key and certificate can be used together."""
        self.context()

    def context(self) -> ssl.SSLContext:
        """An OpenSSL context that serves with these files. Raises TLSFailed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = (
            ssl.TLSVersion.TLSv1_3 if self.minimum is MinimumTLS.TLS13 else ssl.TLSVersion.TLSv1_2
        )
        # Offering h2 here would make Go clients choose it; see docs/decisions on the process server.
        context.set_alpn_protocols(["http/1.1"])
        self.load_into(context)
        return context

    def load_into(self, context: ssl.SSLContext) -> None:
        """Read the files, perhaps again, into a context that may be in use. Raises TLSFailed."""
        for file in self.files:
            _readable(file)
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (ssl.SSLError, ValueError) as error:
            raise TLSFailed(
                f"certificate {self.certificate} and key {self.key} cannot be used: "
                f"{_reason(error)}"
            ) from error
        for file in self.client_authorities:
            try:
                context.load_verify_locations(file)
            except ssl.SSLError as error:
                raise TLSFailed(
                    f"client authority {file} holds no usable PEM certificate: {_reason(error)}"
                ) from error
        context.verify_mode = {
            ClientAuthentication.NONE: ssl.CERT_NONE,
            ClientAuthentication.IF_GIVEN: ssl.CERT_OPTIONAL,
            ClientAuthentication.REQUIRED: ssl.CERT_REQUIRED,
        }[self.client_authentication]


class _Held(PosixPath):
    """A file without a place in the file system: following its link leads nowhere."""

    def resolve(self, strict: bool = False) -> "_Held":
        return self


class HeldFiles:
    """The files of some options as they are now, in memory that child processes inherit: whatever
    happens to the files on disk later, a process that starts can still be given these."""

    def __init__(self, tls: TLSOptions) -> None:
        """Raises TLSFailed when a file cannot be read."""
        self._descriptors: list[int] = []
        certificate, key, *authorities = (self._hold(file) for file in tls.files)
        self.options = replace(
            tls, certificate=certificate, key=key, client_authorities=tuple(authorities)
        )

    def _hold(self, file: Path) -> Path:
        try:
            content = file.read_bytes()
        except OSError as error:
            self.close()
            raise TLSFailed(f"TLS file {file} cannot be read: {error.strerror}") from error
        descriptor = os.memfd_create(file.name[:100], os.MFD_CLOEXEC)
        self._descriptors.append(descriptor)
        with open(descriptor, "wb", closefd=False) as held:
            held.write(content)
        # Every open of this name starts at the first byte, as that of a file does.
        return _Held(f"/proc/self/fd/{descriptor}")

    def close(self) -> None:
        """Forget them; whoever was forked keeps its own."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def _readable(file: Path) -> None:
    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise TLSFailed(f"TLS file {file} cannot be read: {error.strerror}") from error


def _reason(error: Exception) -> str:
    text = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
    if "key values mismatch" in text:
        return "the key does not belong to the certificate"
    if any(hint in text for hint in ("pem lib", "no start line", "no certificate or crl")):
        return "no PEM block found"
    return text
