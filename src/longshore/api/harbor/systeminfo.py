"""What the registry is, and whether it is well."""

import shutil
from collections.abc import Sequence

import anyio.to_thread
from fastapi import Request
from fastapi.responses import PlainTextResponse

import longshore
from longshore.api.caller import Calling, anybody, in_system, registry_request
from longshore.api.services import Serving
from longshore.api.wire import Moment, Router, Shape, moment
from longshore.http.settings import HTTPSettings
from longshore.oidc.settings import HARBOR, ProviderSettings
from longshore.storage.settings import StorageSettings
from longshore.telemetry import clock

router = Router(tags=["systeminfo"])
version_router = Router(tags=["version"])

#: The Harbor whose API this is: clients choose by it what they can use.
HARBOR_VERSION = "v2.16.0"


class GeneralInfo(Shape):
    """What anybody may know, and below it what only who logged in may."""

    auth_mode: str = ""
    primary_auth_mode: bool = False
    self_registration: bool = False
    banner_message: str = ""
    oidc_provider_name: str = ""
    harbor_version: str = ""
    registry_url: str = ""
    external_url: str = ""
    project_creation_restriction: str = ""
    read_only: bool | None = None
    has_ca_root: bool | None = None
    notification_enable: bool | None = None
    registry_storage_provider_name: str = ""
    current_time: Moment | None = None


class ComponentHealthStatus(Shape):
    """One part, and whether it works."""

    name: str = ""
    status: str = ""
    error: str = ""


class OverallHealthStatus(Shape):
    """Healthy when all parts are."""

    status: str
    components: list[ComponentHealthStatus]


class Storage(Shape):
    """A disk, in bytes."""

    total: int
    free: int


class SystemInfo(Shape):
    """The disks on which images lie; none where they lie with a service, which has no end."""

    storage: list[Storage]


class APIVersion(Shape):
    """Which API there is."""

    version: str


@router.get("/systeminfo", dependencies=[anybody()])
async def get_system_info(request: Request, caller: Calling, services: Serving) -> GeneralInfo:
    """Get what the registry is; more for who logged in."""
    values = await services.system.values()
    providers = await services.oidc_providers()
    info = GeneralInfo(
        auth_mode=str(values["auth_mode"]),
        primary_auth_mode=bool(values["primary_auth_mode"]),
        self_registration=bool(values["self_registration"]),
        banner_message=str(values["banner_message"]),
        oidc_provider_name=_provider_name(providers, str(values["oidc_name"])),
    )
    if caller.is_anonymous:
        return info
    url = services.configuration[HTTPSettings].host or registry_request(request).external_url
    return info.model_copy(
        update={
            "harbor_version": f"{HARBOR_VERSION}-longshore{longshore.__version__}",
            "registry_url": url.partition("://")[2].rstrip("/"),
            "external_url": url.rstrip("/"),
            "project_creation_restriction": values["project_creation_restriction"],
            "read_only": values["read_only"],
            "has_ca_root": False,
            "notification_enable": values["notification_enable"],
            "registry_storage_provider_name": services.configuration[StorageSettings].driver,
            "current_time": moment(clock.timestamp()),
        }
    )


def _provider_name(providers: Sequence[ProviderSettings], shown: str) -> str:
    """What a login page calls the first of them; ``shown`` is the name of that of Harbor's keys."""
    if not providers:
        return shown
    return (shown or HARBOR) if providers[0].name == HARBOR else providers[0].name


@router.get("/systeminfo/volumes", dependencies=[in_system("system-volumes", "read")])
async def get_volumes(services: Serving) -> SystemInfo:
    """Get how much room there is for images."""
    settings = services.configuration[StorageSettings].filesystem
    if settings is None:
        return SystemInfo(storage=[])
    usage = await anyio.to_thread.run_sync(shutil.disk_usage, settings.rootdirectory)
    return SystemInfo(storage=[Storage(total=usage.total, free=usage.free)])


@router.get("/health", tags=["health"], dependencies=[anybody()])
async def get_health(services: Serving) -> OverallHealthStatus:
    """Get whether the parts of the registry work; why not is for the log."""
    failing = await services.health.readiness()
    broken = {"database": "database" in failing, "registry": "storage" in failing}
    broken["core"] = bool(set(failing) - {"database", "storage"})
    broken["jobservice"] = broken["database"]
    components = [
        ComponentHealthStatus(
            name=name,
            status="unhealthy" if is_broken else "healthy",
            error="a check fails: the log says why" if is_broken else "",
        )
        for name, is_broken in sorted(broken.items())
    ]
    status = "unhealthy" if any(broken.values()) else "healthy"
    return OverallHealthStatus(status=status, components=components)


@router.get("/ping", tags=["ping"], response_class=PlainTextResponse, dependencies=[anybody()])
async def get_ping() -> str:
    """Answer."""
    return "Pong"


@version_router.get("/api/version", dependencies=[anybody()])
async def get_version() -> APIVersion:
    """Get which API there is."""
    return APIVersion(version="v2.0")
