"""Settings of the storage: where bytes lie, and what may be done to them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from longshore.config.networks import Network
from longshore.config.quantities import Seconds
from longshore.config.section import Section, Table, required, setting
from longshore.config.wording import did_you_mean
from longshore.oci.patterns import PatternInvalid, compile_pattern
from longshore.storage.azure_settings import AzureSettings
from longshore.storage.backends import DEFAULT_NAME
from longshore.storage.gcs_settings import GCSSettings
from longshore.storage.oss_settings import OSSSettings
from longshore.storage.s3_settings import S3Settings
from longshore.storage.swift_settings import SwiftSettings


class FilesystemSettings(Table):
    rootdirectory: Path = setting(
        Path("/var/lib/registry"), "Directory below which docker/registry/v2 lies."
    )
    maxthreads: int = Field(
        default=100,
        description="Threads that may wait for the disk; fewer than 25 count as 25.",
        ge=1,
    )


class InMemorySettings(Table):
    """Bytes are gone when the server stops; for tests."""


class DeleteSettings(Table):
    enabled: bool | None = setting(
        None, "Allow deleting. Not given: refused, or allowed when there is no config.yml."
    )


class RedirectSettings(Table):
    disable: bool = setting(False, "Send blobs ourselves even if the storage could.")


_Period = Annotated[Seconds, Field(gt=0)]


class UploadPurgingSettings(Table):
    enabled: bool = setting(True, "Remove uploads that nobody continues.")
    age: _Period = setting(168 * 3600.0, "How long an upload may be idle.")
    interval: _Period = setting(24 * 3600.0, "How often to look for them.")
    dryrun: bool = setting(False, "Only log what would be removed.")


class ReadOnlySettings(Table):
    enabled: bool = setting(False, "Refuse everything that would change the registry.")


class MaintenanceSettings(Table):
    uploadpurging: UploadPurgingSettings = setting(UploadPurgingSettings(), "Idle uploads.")
    readonly: ReadOnlySettings = setting(ReadOnlySettings(), "Read-only mode.")


#: The drivers there are: the key that chooses one. A new driver is a name here, a field of
#: StorageSettings, and one row less in `longshore.config.compat`.
DRIVERS: Final = ("filesystem", "inmemory", "s3", "azure", "swift", "gcs", "oss")


_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class BackendSettings(Table):
    """A place that holds bytes: one driver with its keys."""

    one_of = DRIVERS

    filesystem: FilesystemSettings | None = setting(None, "Driver: a directory.")
    inmemory: InMemorySettings | None = setting(None, "Driver: memory, for tests.")
    s3: S3Settings | None = setting(None, "Driver: a bucket of Amazon S3, Ceph, MinIO, ...")
    azure: AzureSettings | None = setting(None, "Driver: a container of Azure Blob Storage.")
    swift: SwiftSettings | None = setting(None, "Driver: a container of OpenStack Swift.")
    gcs: GCSSettings | None = setting(None, "Driver: a bucket of Google Cloud Storage.")
    oss: OSSSettings | None = setting(None, "Driver: a bucket of Alibaba Cloud OSS.")

    @model_validator(mode="after")
    def _has_a_driver(self) -> Self:
        if all(getattr(self, name) is None for name in DRIVERS):
            raise ValueError(f"no driver is named; write one of: {', '.join(DRIVERS)}")
        return self

    @property
    def driver(self) -> str:
        """The name of the driver: the one of DRIVERS that is given."""
        return next(name for name in DRIVERS if getattr(self, name) is not None)

    @property
    def parameters(self) -> Any:
        """The driver's own settings: FilesystemSettings, S3Settings, ..."""
        return getattr(self, self.driver)

    @property
    def where(self) -> str:
        """The place, as a person would name it."""
        if isinstance(self.parameters, FilesystemSettings):
            return str(self.parameters.rootdirectory.absolute())
        if not self.is_remote:
            return "memory"
        endpoint = getattr(self.parameters, "endpoint", None)
        return f"{self.parameters.place} at {endpoint}" if endpoint else str(self.parameters.place)

    @property
    def is_remote(self) -> bool:
        """Whether a service holds the bytes: ``parameters.place`` then names it."""
        return self.driver not in ("filesystem", "inmemory")


class StorageSettings(BackendSettings, Section):
    key = "storage"

    delete: DeleteSettings = setting(DeleteSettings(), "Deleting tags, manifests and blobs.")
    redirect: RedirectSettings = setting(RedirectSettings(), "Sending clients to the storage.")
    maintenance: MaintenanceSettings = setting(MaintenanceSettings(), "Upkeep.")


class PlacementRule(Table):
    repositories: str = required(
        "A repository; * is anything within a component, ** any components."
    )
    backend: str = required(
        "The backend that what is pushed there goes to; `default` is `storage`."
    )


class BackendsSettings(Section):
    """Backends beside the one of ``storage``, and which repositories use them."""

    key = "longshore.storage"

    backends: Mapping[str, BackendSettings] = setting(
        {},
        "More places that hold bytes, each with the keys of one driver of `storage`; by a name that "
        "must stay as long as they hold any.",
    )
    rules: tuple[PlacementRule, ...] = setting(
        (), "Where new bytes go: the first rule for a repository decides, none: `storage`."
    )
    grace: _Period = setting(
        3600.0, "How long bytes stay in the old place after they were moved; for pulls under way."
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name in self.backends:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"backends.{name}: a name is made of up to 32 lower-case letters, digits and "
                    "hyphens, and begins with no hyphen"
                )
            if name == DEFAULT_NAME:
                raise ValueError(
                    f"backends.{name}: this is the name of what `storage` configures; choose another"
                )
        known = [DEFAULT_NAME, *self.backends]
        for index, rule in enumerate(self.rules):
            if rule.backend not in known:
                hint = did_you_mean(rule.backend, known)
                raise ValueError(
                    f"rules[{index}].backend: there is no backend {rule.backend!r}{hint}; "
                    f"there are: {', '.join(known)}"
                )
            try:
                compile_pattern(rule.repositories)
            except PatternInvalid as error:
                raise ValueError(f"rules[{index}].repositories: {error}") from error
        return self


class RedirectRulesSettings(Section):
    key = "longshore.redirect"

    lifetime: _Period = setting(20 * 60.0, "How long a URL that leads to the storage is valid.")
    networks: tuple[Network, ...] = setting(
        (), "Networks whose clients are sent to the storage; none given: all."
    )
    exempt: tuple[Network, ...] = setting(
        (), "Networks whose clients get blobs from this server all the same."
    )
    probe: Literal["none", "warn", "stream"] = setting(
        "warn",
        "Follow a redirect now and then: when that fails, warn, or also send blobs from this server.",
    )
