"""How to connect: time-outs, attempts, certificates, and where plain HTTP is acceptable."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import certifi
import httpx

from longshore.client.errors import CertificateRejected

#: Where docker and podman look for authorities of single registries: DIRECTORY/HOST[:PORT]/*.crt
CERTIFICATE_DIRECTORIES: Final = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))


@dataclass(frozen=True)
class Connection:
    """How one registry is reached. Times are in seconds.

    `plain_http` speaks HTTP and nothing else. `insecure` accepts any certificate, and plain HTTP
    where TLS is not spoken. Without either, HTTPS is verified; a loopback address that does not
    speak TLS is asked in plain HTTP, as docker does.
    """

    plain_http: bool = False
    insecure: bool = False
    ca: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    certificate_directories: Sequence[Path] = CERTIFICATE_DIRECTORIES
    #: Token servers outside the registry's own domain that may be given its credentials.
    trusted_realms: frozenset[str] = field(default_factory=frozenset)
    connect_timeout: float = 10
    read_timeout: float = 60
    #: A registry may verify or move a large blob before it answers the last request of a push.
    commit_timeout: float = 900
    #: How often one request is tried in all.
    attempts: int = 5
    #: The longest pause between attempts; a registry that asks for more is not asked again.
    longest_pause: float = 60
    #: Connections at most, which bounds the parallel requests.
    connections: int = 32

    def timeout(self) -> httpx.Timeout:
        """The time-outs of an ordinary request."""
        return httpx.Timeout(self.read_timeout, connect=self.connect_timeout, pool=None)

    def limits(self) -> httpx.Limits:
        """The bounds of the connection pool."""
        return httpx.Limits(
            max_connections=self.connections, max_keepalive_connections=self.connections
        )

    def tls(self, registry: str) -> ssl.SSLContext:
        """The TLS settings for a registry. Reads files, so call it in a thread.

        Trusted are the system's authorities, `ca`, and what docker and podman keep for this
        registry. Raises CertificateRejected for files that hold no usable certificate.
        """
        context = ssl.create_default_context()
        if not context.get_ca_certs():  # a minimal container without the system's bundle
            context.load_verify_locations(certifi.where())
        for path in self._authorities(registry):
            _load(path, lambda path=path: context.load_verify_locations(path))
        if self.client_certificate:
            certificate, key = self.client_certificate, self.client_key
            _load(certificate, lambda: context.load_cert_chain(certificate, key))
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _authorities(self, registry: str) -> list[Path]:
        found = [self.ca] if self.ca else []
        for directory in self.certificate_directories:
            found += sorted((directory / registry).glob("*.crt"))
        return found


def _load(path: Path, load) -> None:  # type: ignore[no-untyped-def]
    try:
        load()
    except FileNotFoundError:
        raise CertificateRejected(f"{path}: no such file; expected a certificate (PEM)") from None
    except OSError as error:
        # ssl.SSLError is an OSError: the file is there but holds no certificate.
        raise CertificateRejected(f"{path} is not a usable certificate: {error}") from error
