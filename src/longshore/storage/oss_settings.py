"""Settings of the oss driver: the keys that distribution 2.x has, and an address for redirects."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from pydantic import Field, SecretStr, model_validator

from longshore.config.section import Table, required, setting

_MIB: Final = 1 << 20
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_ADDRESS: Final = re.compile(r"[0-9.]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?")
_NONE: Final = SecretStr("")


class Endpoint(NamedTuple):
    """Where the service is: a URL, empty for the region's own."""

    url: str
    #: Whether the host stands for the bucket, which then is nowhere else in a URL.
    is_bucket: bool


class OSSSettings(Table):
    """Alibaba Cloud OSS."""

    accesskeyid: str = setting(
        "", "Id of the access key. Empty: as the variable OSS_ACCESS_KEY_ID says."
    )
    accesskeysecret: SecretStr = setting(_NONE, "Its secret. Empty: OSS_ACCESS_KEY_SECRET.")
    region: str = required("Region of the bucket, such as oss-cn-hangzhou or cn-hangzhou.")
    bucket: str = required("The bucket; it must exist.")
    endpoint: str = setting(
        "", "Host name, if it is not the region's: of the region, or of the bucket alone."
    )
    internal: bool = setting(False, "Use the address that is for machines in the same region.")
    redirectendpoint: str = setting(
        "", "Host name or URL for clients, if it is another: redirects are signed for it."
    )
    secure: bool = setting(True, "HTTPS.")
    encrypt: bool = setting(False, "Have the service encrypt objects.")
    encryptionkeyid: str = setting(
        "", "With `encrypt`: the KMS key. Empty: keys of the service's own."
    )
    chunksize: int = Field(
        default=10 * _MIB, ge=5 * _MIB, le=512 * _MIB, description="Bytes of one part of an upload."
    )
    rootdirectory: str = setting("", "Prefix of all keys.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for key in ("region", "bucket"):
            if not getattr(self, key):
                raise ValueError(f"{key} is empty: it must be given")
        if bool(self.accesskeyid) != bool(self.accesskeysecret.get_secret_value()):
            raise ValueError("accesskeyid and accesskeysecret go together: give both or none")
        if self.encryptionkeyid and not self.encrypt:
            raise ValueError("encryptionkeyid has no effect without encrypt: true")
        if self.endpoint and self.internal:
            raise ValueError("internal has no effect with endpoint: write the internal one there")
        return self

    @property
    def region_id(self) -> str:
        """The region without the prefix that distribution's examples have."""
        return self.region.removeprefix("oss-")

    def at(self, endpoint: str) -> Endpoint:
        """What ``endpoint`` (or the redirectendpoint) says. As in distribution it may begin with the
        bucket; a host that is neither Alibaba's nor an address is a domain of the bucket."""
        if not endpoint:
            return Endpoint("", is_bucket=False)
        scheme, _, host = endpoint.rstrip("/").rpartition("://")
        shared = host.removeprefix(f"{self.bucket}.")
        is_bucket = shared == host and ".aliyuncs." not in host and not _ADDRESS.fullmatch(host)
        return Endpoint(f"{scheme or ('https' if self.secure else 'http')}://{shared}", is_bucket)

    @property
    def place(self) -> str:
        """Where bytes lie, in a few characters that a file name may have."""
        return _NO_NAME.sub("-", f"oss-{self.bucket}-{self.rootdirectory.strip('/')}").strip("-")

    @property
    def object_options(self) -> Mapping[str, Any]:
        """What every new object is stored with."""
        options = {}
        if self.encrypt:
            options["server_side_encryption"] = "KMS" if self.encryptionkeyid else "AES256"
        if self.encryptionkeyid:
            options["server_side_encryption_key_id"] = self.encryptionkeyid
        return options
