"""The catalogue of what a robot may be given: what dialogs that make one show."""

from functools import partial

from pydantic import Field

from longshore.access import refusals
from longshore.api.caller import Calling, somebody
from longshore.api.errors import Forbidden
from longshore.api.services import Serving
from longshore.api.wire import Router, Shape
from longshore.identity import permissions, store

router = Router(tags=["permissions"])


class CataloguedPermission(Shape):
    """An action on a resource."""

    resource: str
    action: str


class Catalogue(Shape):
    """What there is to give, beside projects and in them."""

    system: list[CataloguedPermission] = Field(default_factory=list)
    project: list[CataloguedPermission] = Field(default_factory=list)


@router.get("/permissions", dependencies=[somebody()])
async def get_permissions(caller: Calling, services: Serving) -> Catalogue:
    """List what robots may be given; who administers projects only sees what there is in projects."""
    if not caller.is_admin and not await services.database.read(
        partial(store.administers_a_project, user=caller.standing.user_id)
    ):
        raise Forbidden(
            f"user {refusals.shown(caller.name)} administers neither the registry nor a project, "
            "and nobody else gives permissions"
        )
    return Catalogue(
        system=_listed(permissions.ROBOT_SYSTEM) if caller.is_admin else [],
        project=_listed(permissions.ROBOT_PROJECT),
    )


def _listed(given: permissions.Permissions) -> list[CataloguedPermission]:
    return [
        CataloguedPermission(resource=permission.resource, action=permission.action)
        for permission in sorted(given)
    ]
