"""Settings of the swift driver: the keys that distribution 2.x has, and application credentials."""

import re
from typing import Final, Literal, Self

from pydantic import Field, SecretStr, model_validator

from longshore.config.section import Table, required, setting

_MIB: Final = 1 << 20
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_NONE: Final = SecretStr("")


class SwiftSettings(Table):
    """OpenStack Swift, or a service that speaks its protocol."""

    authurl: str = required("URL of the service that gives out tokens: TempAuth or Keystone.")
    authversion: int = Field(
        default=0, ge=0, le=3, description="Version of the login (1, 2, 3). 0: as authurl says."
    )
    username: str = setting("", "The user; for version 1 such as `account:user`.")
    password: SecretStr = setting(_NONE, "Password, or the key of version 1.")
    applicationcredentialid: str = setting(
        "", "Application credential of Keystone, in place of a user."
    )
    applicationcredentialsecret: SecretStr = setting(_NONE, "Its secret.")
    container: str = required("The container; it is made if it does not exist.")
    region: str = setting("", "Region of the object store in Keystone's catalog. Empty: the first.")
    endpointtype: Literal["public", "internal", "admin"] = setting(
        "public", "Which of the addresses in the catalog is used."
    )
    tenant: str = setting("", "Name of the project.")
    tenantid: str = setting("", "Id of the project.")
    domain: str = setting("", "Name of the user's domain.")
    domainid: str = setting("", "Id of the user's domain. Neither given: `default`.")
    tenantdomain: str = setting("", "Name of the project's domain. Not given: the user's.")
    tenantdomainid: str = setting("", "Id of the project's domain.")
    trustid: str = setting("", "Id of a trust, in place of a project.")
    insecureskipverify: bool = setting(
        False, "Do not check the service's certificate. For trials only."
    )
    chunksize: int = Field(
        default=20 * _MIB, ge=_MIB, le=512 * _MIB, description="Bytes of one segment of an upload."
    )
    prefix: str = setting("", "Prefix of all keys.")
    secretkey: SecretStr = setting(
        _NONE, "Key for signing URLs. Empty: the one that the account or container has."
    )
    accesskey: str = setting("", "Sent with signed URLs to services that ask for it.")
    tempurlcontainerkey: bool = setting(
        False, "Sign URLs with the container's key, not with the account's."
    )
    tempurlmethods: tuple[str, ...] = setting(
        (), "What signed URLs may be for. Not given: what the service says."
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for key in ("authurl", "container"):
            if not getattr(self, key):
                raise ValueError(f"{key} is empty: it must be given")
        if "/" in self.container:
            raise ValueError("container is a name, without a slash; for a folder write prefix")
        credential = bool(self.applicationcredentialid)
        if credential != bool(self.applicationcredentialsecret.get_secret_value()):
            raise ValueError(
                "applicationcredentialid and applicationcredentialsecret go together: give both"
            )
        if credential and self.version != 3:
            raise ValueError("application credentials need authversion: 3")
        if credential == bool(self.username):
            raise ValueError("give either username and password, or an application credential")
        if self.username and not self.password.get_secret_value():
            raise ValueError("password is empty: give the user's")
        return self

    @property
    def version(self) -> int:
        """Version of the login: as given, or as the URL says."""
        if self.authversion:
            return self.authversion
        return 3 if "/v3" in self.authurl else 2 if "/v2" in self.authurl else 1

    @property
    def root(self) -> str:
        """What every key begins with: nothing, or a prefix that ends with a slash."""
        trimmed = self.prefix.strip("/")
        return f"{trimmed}/" if trimmed else ""

    @property
    def place(self) -> str:
        """Where bytes lie, in a few characters that a file name may have."""
        return _NO_NAME.sub("-", f"swift-{self.container}-{self.prefix.strip('/')}").strip("-")
