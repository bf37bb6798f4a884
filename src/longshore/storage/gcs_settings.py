"""Settings of the gcs driver: distribution's keys, and where a service lies that is not Google's."""

import re
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from longshore.config.section import Table, required, setting

_KIB: Final = 1 << 10
#: The service takes chunks of a resumable upload in multiples of this (bytes).
_UNIT: Final = 256 * _KIB
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ENDPOINT: Final = "https://storage.googleapis.com"


class GCSCredentials(Table):
    """The content of a service account's key file."""

    type: str = setting("service_account", "Kind of credentials: service_account.")
    project_id: str = setting("", "Project of the account.")
    private_key_id: str = setting("", "Identifier of the key.")
    private_key: SecretStr = setting(SecretStr(""), "The key, in PEM.")
    client_email: str = setting("", "Address of the account.")
    client_id: str = setting("", "Number of the account.")
    auth_uri: str = setting("", "Not used.")
    token_uri: str = setting(
        "https://oauth2.googleapis.com/token", "Where access tokens come from."
    )
    auth_provider_x509_cert_url: str = setting("", "Not used.")
    client_x509_cert_url: str = setting("", "Not used.")
    universe_domain: str = setting("googleapis.com", "Domain of the cloud.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.type != "service_account":
            raise ValueError(
                f"type {self.type!r}: only the key of a service_account can be written here; leave "
                "credentials away and let GOOGLE_APPLICATION_CREDENTIALS name a file of another type"
            )
        if not (self.client_email and self.private_key.get_secret_value()):
            raise ValueError("client_email and private_key are needed: copy them from the key file")
        return self

    @property
    def content(self) -> dict[str, Any]:
        """As google-auth takes it."""
        plain = self.model_dump(exclude={"private_key"})
        # In a variable the line ends of PEM are often written as \n.
        key = self.private_key.get_secret_value().replace("\\n", "\n")
        return {**plain, "private_key": key}


class GCSSettings(Table):
    """A bucket of Google Cloud Storage."""

    bucket: str = required("The bucket; it must exist.")
    keyfile: Path | None = setting(
        None,
        "File with the key of a service account. Neither this nor `credentials`: as Google's "
        "libraries find credentials (GOOGLE_APPLICATION_CREDENTIALS, the machine's account, ...).",
    )
    credentials: GCSCredentials | None = setting(None, "The content of such a file.")
    rootdirectory: str = setting("", "Prefix of all keys.")
    chunksize: int = Field(
        default=64 * _UNIT,
        ge=_UNIT,
        le=2048 * _UNIT,
        multiple_of=_UNIT,
        description="Bytes of one request of a large upload: a multiple of 256 KiB.",
    )
    maxconcurrency: int = Field(
        default=50,
        ge=1,
        description="Requests to the service at the same time, for each worker; fewer than 25 count "
        "as 25. Blobs on their way to clients do not count.",
    )
    endpoint: str = setting(
        _ENDPOINT,
        "URL of the service. To one with http:, such as an emulator, no credentials are sent.",
    )
    useragent: str = setting("", "Added to the User-Agent of requests to the service.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.bucket:
            raise ValueError("bucket is empty: name one")
        if self.keyfile and self.credentials:
            raise ValueError("keyfile and credentials say the same thing: give one of them")
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise ValueError(f"endpoint {self.endpoint!r} is no URL such as {_ENDPOINT}")
        return self

    @property
    def url(self) -> str:
        """The service, without a slash at the end."""
        return self.endpoint.rstrip("/")

    @property
    def is_anonymous(self) -> bool:
        """Whether no access token is sent: it would be readable on the way."""
        return self.endpoint.startswith("http:")

    @property
    def place(self) -> str:
        """Where bytes lie, in a few characters that a file name may have."""
        return _NO_NAME.sub("-", f"gcs-{self.bucket}-{self.rootdirectory.strip('/')}").strip("-")
