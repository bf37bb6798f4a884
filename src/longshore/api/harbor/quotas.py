"""Quotas of projects. The id of a quota is that of its project."""

from functools import partial
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field

from longshore.api.caller import Calling, in_system
from longshore.api.errors import BadRequest
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Moment, Router, Shape, moment
from longshore.quotas import install, store
from longshore.quotas.model import Defaults, Quota, Resource
from longshore.quotas.settings import QuotasSettings
from longshore.telemetry import clock

router = Router(tags=["quota"])

_Amount = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class QuotaRef(Shape):
    """The project that a quota is of."""

    id: int
    name: str
    owner_name: str


class QuotaReply(Shape):
    """What a project may hold, and what it holds, in bytes; -1: any number."""

    id: int
    ref: QuotaRef
    hard: dict[str, int]
    used: dict[str, int]
    creation_time: Moment
    update_time: Moment

    @classmethod
    def of(cls, quota: Quota) -> "QuotaReply":
        return cls(
            id=quota.id,
            ref=QuotaRef(id=quota.id, name=quota.project, owner_name=quota.owner),
            hard=hard(quota),
            used=used(quota),
            creation_time=moment(quota.created_at),
            update_time=moment(quota.updated_at),
        )


class QuotaUpdateReq(Shape):
    """New limits, by resource."""

    hard: dict[str, _Amount] = Field(default_factory=dict)


def hard(quota: Quota) -> dict[str, int]:
    """As Harbor names limits."""
    return {"storage": quota.limits[Resource.STORAGE].hard}


def used(quota: Quota) -> dict[str, int]:
    """As Harbor names what is used."""
    return {"storage": quota.usage.storage}


async def defaults(services: Services) -> Defaults:
    """What counts for projects of which nothing else was said."""
    settings = services.configuration[QuotasSettings]
    return await services.database.read(partial(install.defaults, settings=settings))


@router.get("/quotas", dependencies=[in_system("quota", "list")])
async def list_quotas(
    page: Paged,
    services: Serving,
    reference: Annotated[str, Query(max_length=255, description="Of what: project.")] = "",
    reference_id: Annotated[str, Query(max_length=255, description="The project's id.")] = "",
) -> list[QuotaReply]:
    """List quotas."""
    if reference not in ("", "project"):
        page.counted(0)
        return []
    work = partial(
        store.page_of_quotas,
        listing=page.where(reference_id=reference_id),
        defaults=await defaults(services),
    )
    found, total = await services.database.read(work)
    page.counted(total)
    return [QuotaReply.of(quota) for quota in found]


@router.get("/quotas/{id}", dependencies=[in_system("quota", "read")])
async def get_quota(id: Id, services: Serving) -> QuotaReply:
    """Get a quota."""
    work = partial(store.find_quota, defaults=await defaults(services), id=id)
    return QuotaReply.of(await services.database.read(work))


@router.put("/quotas/{id}", response_class=Empty, dependencies=[in_system("quota", "update")])
async def update_quota(id: Id, body: QuotaUpdateReq, caller: Calling, services: Serving) -> Empty:
    """Set the limit. It may be lower than what is used: what is there stays."""
    limits = _limits(body)
    found = await services.database.read(
        partial(store.find_quota, defaults=await defaults(services), id=id)
    )
    await services.changes.make(
        partial(store.set_limits, now=clock.timestamp(), id=id, hard=limits),
        "update",
        "quota",
        found.project,
        project=found.project,
        description=f"storage {found.limits[Resource.STORAGE].hard} -> {limits[Resource.STORAGE]}",
        origin=caller.origin,
    )
    return Empty()


def _limits(body: QuotaUpdateReq) -> dict[Resource, int | None]:
    unknown = sorted(set(body.hard) - {"storage"})
    if unknown:
        raise BadRequest(f"hard: {unknown[0][:100]!r} is no resource that is limited; storage is")
    if "storage" not in body.hard:
        raise BadRequest("hard.storage is missing: a number of bytes, or -1 for no limit")
    return {Resource.STORAGE: body.hard["storage"]}


def limiting(project: str, storage: int | None, connection: Any) -> None:
    """Set the limit that a new project was asked to have; None and 0: the configuration's."""
    if storage:
        hard_limits = {Resource.STORAGE: storage}
        store.set_limits(connection, clock.timestamp(), project=project, hard=hard_limits)
