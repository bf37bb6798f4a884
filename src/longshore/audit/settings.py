"""Settings of the audit log."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from longshore.audit.webhook_signature import signing_key
from longshore.config.quantities import Seconds
from longshore.config.section import Section, Table, required, setting

#: What each kind of address is without a port (RFC 5426, RFC 6587 appendix, RFC 5425).
_PORTS: Final = {"udp": 514, "tcp": 601, "tls": 6514, "http": 80, "https": 443}


def _url(value: SecretStr) -> SecretStr:
    # Not shown in the message: it may hold a secret.
    parts = _split(value.get_secret_value())
    if parts is None or parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(
            "this is no address to send to; write tls://HOST, tcp://HOST or udp://HOST for syslog, "
            "https://HOST/PATH for a webhook"
        )
    if parts.scheme in ("udp", "tcp", "tls") and (parts.path.strip("/") or parts.query):
        raise ValueError("an address for syslog ends after the port")
    return value


def _split(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        return None if parts.port == 0 else parts
    except ValueError:
        return None


class ForwardSettings(Table):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")] = required(
        "Its own name; how far it got is remembered under it, so it stays."
    )
    url: Annotated[SecretStr, AfterValidator(_url)] = required(
        "tls://HOST, tcp://HOST or udp://HOST, with :PORT: syslog (RFC 5424). https://HOST/PATH: a webhook."
    )
    cafile: Path | None = setting(
        None, "PEM file with the authorities that sign its certificate; the system's without."
    )
    certificate: Path | None = setting(
        None, "PEM file with a certificate of this registry, for receivers that ask for one."
    )
    key: Path | None = setting(None, "PEM file with the certificate's key.")
    framing: Literal["octets", "newline"] = setting(
        "octets", "What separates messages over tcp: their length (RFC 6587 3.4.1) or line ends."
    )
    facility: Annotated[int, Field(ge=0, le=23)] = setting(
        13, "The facility of messages to syslog; 13 is the audit log's."
    )
    secret: SecretStr = setting(
        SecretStr(""),
        "Signs what is posted to a webhook (HMAC-SHA256): whsec_ and base64, or any text.",
    )
    headers: Mapping[str, SecretStr] = setting(
        {}, "Headers of each request to a webhook, such as Authorization."
    )
    timeout: Annotated[Seconds, Field(gt=0, le=60)] = setting(
        10.0, "How long sending a batch of rows may take, answer included."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key belong together")
        if self.is_webhook:
            secret = self.secret.get_secret_value()
            if not secret:
                raise ValueError("a webhook needs a secret that signs what is posted to it")
            signing_key(secret)
        elif self.secret.get_secret_value() or self.headers:
            raise ValueError("secret and headers are for webhooks; syslog has neither")
        return self

    @property
    def parts(self) -> SplitResult:
        return urlsplit(self.url.get_secret_value())

    @property
    def is_webhook(self) -> bool:
        return self.parts.scheme in ("http", "https")

    @property
    def port(self) -> int:
        return self.parts.port or _PORTS[self.parts.scheme]

    @property
    def place(self) -> str:
        """Where it is, without what may be a secret."""
        host = self.parts.hostname or ""
        return f"{self.parts.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"


class AuditSettings(Section):
    key = "longshore.audit"

    enabled: bool | None = setting(
        None, "Whether to write it; nothing: where auth.longshore has people to write of."
    )
    pulls: Literal["none", "sampled", "all"] = setting(
        "none", "Which pulls of manifests are in it, beside all changes."
    )
    samplerate: Annotated[float, Field(gt=0, le=1)] = setting(
        0.01, "The part of pulls that is in it with pulls: sampled."
    )
    logins: Annotated[Seconds, Field(ge=0)] = setting(
        3600.0,
        "For how long a login with a name and password or a token is not written again, for the same user "
        "and address, by each process; 0: none of these are written. Sessions of browsers always are.",
    )
    retention: Annotated[Seconds, Field(ge=0)] = setting(
        0.0, "How long rows are kept; 0 is for ever. An hourly job removes older ones."
    )
    sealkey: SecretStr = setting(
        SecretStr(""),
        "The secret that rows are sealed with; empty: the first of longshore.encryption.keys, or "
        "http.secret, or one that is kept in the database and seals against accidents only.",
    )
    forward: tuple[ForwardSettings, ...] = setting(
        (), "Who is sent every row, in order and at least once."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [receiver.name for receiver in self.forward]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"two receivers are called {twice[0]!r}; how far each got is remembered under its name, "
                "so each needs its own"
            )
        return self

    @property
    def receivers(self) -> tuple[str, ...]:
        """The names of all who are sent rows."""
        return tuple(receiver.name for receiver in self.forward)
