"""Settings of the s3 driver: distribution's keys."""

import re
from collections.abc import Mapping
from typing import Any, Final, Self

from pydantic import Field, SecretStr, model_validator

from longshore.config.section import Table, required, setting

_MIB: Final = 1 << 20
#: How often one request is sent at most.
ATTEMPTS: Final = 4
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")
_STORAGE_CLASSES: Final = [
    "NONE",
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "OUTPOSTS",
    "GLACIER_IR",
]
_ACLS: Final = [
    "private",
    "public-read",
    "public-read-write",
    "aws-exec-read",
    "authenticated-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
]


class S3Settings(Table):
    """Amazon S3, or a service that speaks its protocol (``regionendpoint``)."""

    bucket: str = required("The bucket; it must exist.")
    region: str = setting("", "Its region, such as us-east-1.")
    accesskey: SecretStr = setting(
        SecretStr(""), "Access key. Empty: as the AWS SDK finds credentials (variables, role, ...)."
    )
    secretkey: SecretStr = setting(SecretStr(""), "Secret key.")
    sessiontoken: SecretStr = setting(SecretStr(""), "Token of temporary credentials.")
    regionendpoint: str = setting("", "URL of a service that is not Amazon's.")
    redirectendpoint: str = setting(
        "",
        "URL under which clients reach the service, if it is another: redirects are signed for it.",
    )
    forcepathstyle: bool | None = setting(
        None, "Bucket in the path, not in the host name. Not given: yes with regionendpoint."
    )
    accelerate: bool = setting(False, "Use the transfer acceleration endpoint.")
    usedualstack: bool = setting(False, "Use the endpoint that speaks IPv6.")
    usefipsendpoint: bool = setting(False, "Use the endpoint that is validated for FIPS 140.")
    secure: bool = setting(True, "HTTPS, for a regionendpoint that is written without a scheme.")
    skipverify: bool = setting(False, "Do not check the service's certificate. For trials only.")
    v4auth: bool = setting(True, "Signature version 4; there is no other any more.")
    encrypt: bool = setting(False, "Have the service encrypt objects.")
    keyid: str = setting("", "With `encrypt`: the KMS key. Empty: the service's own key.")
    storageclass: str = setting("STANDARD", "Storage class of new objects; NONE sends none.")
    objectacl: str = setting("", "Canned ACL of new objects; empty sends none.")
    rootdirectory: str = setting("", "Prefix of all keys.")
    chunksize: int = Field(
        default=10 * _MIB, ge=5 * _MIB, le=512 * _MIB, description="Bytes of one part of an upload."
    )
    multipartcopychunksize: int = Field(
        default=32 * _MIB,
        ge=10 * _MIB,
        le=5120 * _MIB,
        description="Bytes of one part of a copy inside the service.",
    )
    multipartcopymaxconcurrency: int = Field(
        default=100, ge=1, le=1000, description="Parts copied at the same time."
    )
    multipartcopythresholdsize: int = Field(
        default=32 * _MIB, ge=0, le=5120 * _MIB, description="Larger objects are copied in parts."
    )
    useragent: str = setting("", "Added to the User-Agent of requests to the service.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.bucket:
            raise ValueError("bucket is empty: name one")
        if bool(self.accesskey.get_secret_value()) != bool(self.secretkey.get_secret_value()):
            raise ValueError("accesskey and secretkey go together: give both or none")
        if not (self.region or self.regionendpoint):
            raise ValueError("neither region nor regionendpoint says where the bucket is")
        if not self.v4auth:
            raise ValueError(
                "v4auth: signature version 2 is gone; remove the key or set it to true"
            )
        if self.keyid and not self.encrypt:
            raise ValueError("keyid has no effect without encrypt: true")
        self._check_words()
        return self

    def _check_words(self) -> None:
        if self.storageclass not in _STORAGE_CLASSES:
            raise ValueError(f"storageclass is one of {', '.join(_STORAGE_CLASSES)}")
        if self.objectacl and self.objectacl not in _ACLS:
            raise ValueError(f"objectacl is one of {', '.join(_ACLS)}")

    @property
    def endpoint(self) -> str | None:
        """The URL of the service; None for Amazon's own."""
        if not self.regionendpoint or "://" in self.regionendpoint:
            return self.regionendpoint or None
        return f"{'https' if self.secure else 'http'}://{self.regionendpoint}"

    @property
    def place(self) -> str:
        """Where bytes lie, in a few characters that a file name may have."""
        return _NO_NAME.sub("-", f"s3-{self.bucket}-{self.rootdirectory.strip('/')}").strip("-")

    @property
    def object_options(self) -> Mapping[str, str]:
        """What every new object is stored with."""
        options = {"ContentType": "application/octet-stream"}
        if self.encrypt:
            options["ServerSideEncryption"] = "aws:kms" if self.keyid else "AES256"
        if self.keyid:
            options["SSEKMSKeyId"] = self.keyid
        if self.storageclass not in ("NONE", "STANDARD"):
            options["StorageClass"] = self.storageclass
        if self.objectacl:
            options["ACL"] = self.objectacl
        return options

    @property
    def client_options(self) -> Mapping[str, Any]:
        """What the SDK is told about connections, retries and signatures."""
        path_style = (
            bool(self.regionendpoint) if self.forcepathstyle is None else self.forcepathstyle
        )
        return {
            "signature_version": "s3v4",
            # Newer SDKs add checksums that other services refuse, and that cost a second hash.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "connect_timeout": 10,
            "read_timeout": 60,
            "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
            "max_pool_connections": 128,
            "user_agent_extra": self.useragent or None,
            "s3": {
                "addressing_style": "path" if path_style else "virtual",
                "use_accelerate_endpoint": self.accelerate,
                # TLS protects the bytes; over plain HTTP the signature has to.
                "payload_signing_enabled": str(self.endpoint or "https").startswith("http:"),
            },
            "use_dualstack_endpoint": self.usedualstack,
            "use_fips_endpoint": self.usefipsendpoint,
        }
