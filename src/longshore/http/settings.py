"""Settings of the server: address, TLS, what it says about itself, what it believes of proxies."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from longshore.config.networks import Network
from longshore.config.quantities import Seconds
from longshore.config.section import Section, Table, setting
from longshore.http.server.options import Engine
from longshore.http.tls import ClientAuthentication, MinimumTLS

_UNVERIFIED: Final = {
    "request-client-cert": ClientAuthentication.IF_GIVEN,
    "require-any-client-cert": ClientAuthentication.REQUIRED,
}


def _client_authentication(value: object) -> object:
    if isinstance(value, str) and value in _UNVERIFIED:
        raise ValueError(
            f"{value!r} takes any certificate without verifying it, which proves nothing; "
            f"write {_UNVERIFIED[value].value}"
        )
    return value


def _minimum_tls(value: object) -> object:
    if value in ("tls1.0", "tls1.1"):
        raise ValueError(f"{value!r} is broken and not spoken (RFC 8996); write tls1.2 or tls1.3")
    return value


def _prefix(value: str) -> str:
    stripped = value.strip("/")
    if re.search(r"[\s?#]", stripped):
        raise ValueError(f"{value!r} is not a path; write something like /registry")
    return f"/{stripped}" if stripped else ""


def _host(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^/\s?#]+/?", value):
        raise ValueError(f"{value!r} is not the registry's URL; write https://registry.example")
    return value.rstrip("/")


class TLSSettings(Table):
    certificate: Path | None = setting(
        None, "PEM file: the server's certificate, then its issuers."
    )
    key: Path | None = setting(None, "PEM file with the certificate's private key.")
    clientcas: tuple[Path, ...] = setting((), "PEM files of those who sign clients' certificates.")
    clientauth: Annotated[ClientAuthentication | None, BeforeValidator(_client_authentication)] = (
        setting(None, "What is asked of clients; with clientcas a certificate, otherwise none.")
    )
    minimumtls: Annotated[MinimumTLS, BeforeValidator(_minimum_tls)] = setting(
        MinimumTLS.TLS12, "The oldest protocol version that is spoken."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            given, absent = ("key", "certificate") if self.key else ("certificate", "key")
            raise ValueError(f"{given} is set and {absent} is not; TLS needs both")
        if self.clientcas and self.certificate is None:
            raise ValueError("clientcas is set without certificate and key, so TLS is off")
        if self.client_authentication is not ClientAuthentication.NONE and not self.clientcas:
            raise ValueError("clientauth is set and clientcas is not; nobody could be verified")
        return self

    @property
    def client_authentication(self) -> ClientAuthentication:
        """``clientauth``, or what follows from ``clientcas`` when it is not given."""
        if self.clientauth is not None:
            return self.clientauth
        return ClientAuthentication.REQUIRED if self.clientcas else ClientAuthentication.NONE


class PrometheusSettings(Table):
    enabled: bool = setting(False, "Serve metrics on the debug address.")
    path: str = Field(default="/metrics", description="Path of the metrics.", pattern="^/")


class DebugSettings(Table):
    addr: str = setting("", "Address of health and metrics, apart from clients; empty: none.")
    prometheus: PrometheusSettings = setting(PrometheusSettings(), "Metrics.")


class HTTPSettings(Section):
    key = "http"

    addr: str = setting(":5000", "[HOST]:PORT to listen on, or the path of a Unix socket.")
    net: Literal["tcp", "unix"] = setting("tcp", "What addr is.")
    host: Annotated[str, AfterValidator(_host)] = setting(
        "", "URL by which clients reach the registry; makes Location headers absolute."
    )
    prefix: Annotated[str, AfterValidator(_prefix)] = setting(
        "", "Path below which the registry lies, such as /registry."
    )
    secret: SecretStr = setting(
        SecretStr(""),
        "Signs this registry's own tokens; empty: made once and kept in the database.",
    )
    relativeurls: bool | None = setting(
        None, "Location headers without a host. Not given: relative unless host is set."
    )
    draintimeout: Seconds = setting(30.0, "How long requests in flight may take after SIGTERM.")
    headers: Mapping[str, tuple[str, ...]] = setting({}, "Headers added to every reply.")
    tls: TLSSettings = setting(TLSSettings(), "HTTPS.")
    debug: DebugSettings = setting(DebugSettings(), "Health and metrics on their own address.")


_Timeout = Annotated[Seconds, Field(gt=0)]


class ServerSettings(Section):
    key = "longshore.http"

    workers: int = Field(
        default=0, description="Worker processes; 0: one per processor.", ge=0, le=1024
    )
    server: Engine = setting(Engine.AUTO, "What speaks HTTP.")
    trustedproxies: tuple[Network, ...] = setting(
        ("127.0.0.0/8", "::1/128"),
        "Networks whose Forwarded and X-Forwarded-* headers are believed.",
    )
    headertimeout: _Timeout = setting(
        30.0, "How long the head of a request may take, and a connection may be idle."
    )
    bodytimeout: _Timeout = setting(60.0, "How long to wait for the next bytes of a body.")
