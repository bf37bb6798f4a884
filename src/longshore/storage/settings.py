"""Settings of the storage: one driver, and what may be done to its bytes."""

from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from longshore.config.networks import Network
from longshore.config.quantities import Seconds
from longshore.config.section import Section, Table, setting
from longshore.storage.s3_settings import S3Settings


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
DRIVERS: Final = ("filesystem", "inmemory", "s3")


class StorageSettings(Section):
    key = "storage"
    one_of = DRIVERS

    filesystem: FilesystemSettings | None = setting(None, "Driver: a directory.")
    inmemory: InMemorySettings | None = setting(None, "Driver: memory, for tests.")
    s3: S3Settings | None = setting(None, "Driver: a bucket of Amazon S3, Ceph, MinIO, ...")
    delete: DeleteSettings = setting(DeleteSettings(), "Deleting tags, manifests and blobs.")
    redirect: RedirectSettings = setting(RedirectSettings(), "Sending clients to the storage.")
    maintenance: MaintenanceSettings = setting(MaintenanceSettings(), "Upkeep.")

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
        """The driver's own settings: FilesystemSettings, InMemorySettings, S3Settings."""
        return getattr(self, self.driver)

    @property
    def is_remote(self) -> bool:
        """Whether a service holds the bytes: ``parameters.place`` then names it."""
        return self.driver not in ("filesystem", "inmemory")


class RedirectRulesSettings(Section):
    key = "longshore.redirect"

    lifetime: _Period = setting(20 * 60.0, "How long a URL that leads to the storage is valid.")
    networks: tuple[Network, ...] = setting(
        (), "Networks whose clients are sent to the storage; none given: all."
    )
    exempt: tuple[Network, ...] = setting(
        (), "Networks whose clients get blobs from this server all the same."
    )
