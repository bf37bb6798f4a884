"""Settings of the azure driver: distribution's keys."""

import base64
import binascii
import re
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, model_validator

from longshore.config.quantities import Seconds
from longshore.config.section import Table, required, setting

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


class AzureCredentialsSettings(Table):
    """How the driver proves who it is."""

    type: Literal["shared_key", "client_secret", "default_credentials"] | None = setting(
        None,
        "`shared_key` (accountkey), `client_secret` (an application of Entra ID), or "
        "`default_credentials` (as the Azure SDK finds them: variables, managed identity, ...). "
        "Not given: `shared_key` with an accountkey, else `client_secret` with a secret, else "
        "`default_credentials`.",
    )
    clientid: str = setting("", "The application's id, for `client_secret`.")
    tenantid: str = setting("", "The tenant's id, for `client_secret`.")
    secret: SecretStr = setting(SecretStr(""), "The application's secret, for `client_secret`.")


class AzureSettings(Table):
    """A container of Azure Blob Storage, or of a service that speaks its protocol."""

    accountname: str = required("The storage account.")
    accountkey: SecretStr = setting(SecretStr(""), "One of the account's two keys, in base64.")
    container: str = required("The container; it must exist.")
    credentials: AzureCredentialsSettings = setting(
        AzureCredentialsSettings(), "Who the driver is."
    )
    realm: str = setting("core.windows.net", "End of the service's host name, in other clouds.")
    serviceurl: str = setting(
        "", "URL of the service. Empty: `https://<accountname>.blob.<realm>`."
    )
    rootdirectory: str = setting("", "Prefix of all names.")
    max_retries: int = Field(
        default=5, ge=0, le=20, description="How often a failed request is repeated."
    )
    retry_delay: Annotated[Seconds, Field(gt=0, le=60)] = setting(
        0.1, "Wait before the first repetition; before each further one it is three times as long."
    )
    skipverify: bool = setting(False, "Do not check the service's certificate. For trials only.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name in ("accountname", "container"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: name one")
        given = self.credentials
        if self.kind == "shared_key":
            self._check_key()
        elif self.accountkey.get_secret_value():
            raise ValueError(
                f"accountkey has no effect with credentials.type {self.kind}: remove one of them"
            )
        if self.kind == "client_secret":
            missing = [
                name
                for name, value in (
                    ("clientid", given.clientid),
                    ("tenantid", given.tenantid),
                    ("secret", given.secret.get_secret_value()),
                )
                if not value
            ]
            if missing:
                raise ValueError(f"credentials of type client_secret need {' and '.join(missing)}")
        return self

    def _check_key(self) -> None:
        key = self.accountkey.get_secret_value()
        if not key:
            raise ValueError("credentials of type shared_key need accountkey")
        try:
            base64.b64decode(key, validate=True)
        except binascii.Error as error:
            raise ValueError("accountkey is not base64: copy it from the account again") from error

    @property
    def kind(self) -> str:
        """How the driver proves who it is: shared_key, client_secret or default_credentials."""
        if self.credentials.type:
            return self.credentials.type
        if self.accountkey.get_secret_value():
            return "shared_key"
        given = self.credentials
        return "client_secret" if given.secret.get_secret_value() else "default_credentials"

    @property
    def endpoint(self) -> str:
        """The URL of the service."""
        return self.serviceurl.rstrip("/") or f"https://{self.accountname}.blob.{self.realm}"

    @property
    def place(self) -> str:
        """Where bytes lie, in a few characters that a file name may have."""
        where = f"azure-{self.accountname}-{self.container}-{self.rootdirectory.strip('/')}"
        return _NO_NAME.sub("-", where).strip("-")
