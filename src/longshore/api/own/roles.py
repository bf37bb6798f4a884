"""Custom roles: sets of permissions in projects, made by administrators and given to members by their id."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import Field

from longshore.api.caller import Calling, in_system, somebody
from longshore.api.errors import Forbidden
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Moment, Router, Shape, created, moment
from longshore.identity import store, validation
from longshore.identity.model import AnyRole, CustomRole
from longshore.identity.permissions import Permission, Permissions
from longshore.telemetry import clock

router = Router(tags=["roles"])

_LONGEST = 255
_Description = Annotated[str, Field(max_length=1024)]


class RolePermission(Shape):
    """An action on a resource."""

    resource: Annotated[str, Field(max_length=_LONGEST)]
    action: Annotated[str, Field(max_length=_LONGEST)]


_Given = Annotated[list[RolePermission], Field(max_length=1000)]


class NewRole(Shape):
    """A role to be made."""

    name: Annotated[str, Field(max_length=_LONGEST)]
    description: _Description = ""
    permissions: _Given


class RoleChange(Shape):
    """What is to be different; what is not given stays."""

    name: Annotated[str, Field(max_length=_LONGEST)] | None = None
    description: _Description | None = None
    permissions: _Given | None = None


class RoleResp(Shape):
    """A role. ``custom``: made by an administrator; the others are the same everywhere."""

    id: int
    name: str
    custom: bool
    description: str = ""
    permissions: list[RolePermission]
    creation_time: Moment
    update_time: Moment

    @classmethod
    def of(cls, role: AnyRole) -> "RoleResp":
        made = role if isinstance(role, CustomRole) else None
        return cls(
            id=role.value,
            name=role.word,
            custom=made is not None,
            description=made.description if made else "",
            permissions=[
                RolePermission(resource=one.resource, action=one.action)
                for one in sorted(role.permissions)
            ],
            creation_time=moment(made.created_at if made else None),
            update_time=moment(made.updated_at if made else None),
        )


@router.get("/roles", dependencies=[somebody()])
async def list_roles(page: Paged, services: Serving) -> list[RoleResp]:
    """List the custom roles, by name."""
    found, total = await services.database.read(partial(store.page_of_roles, listing=page.listing))
    page.counted(total)
    return [RoleResp.of(role) for role in found]


@router.post(
    "/roles", status_code=201, response_class=Empty, dependencies=[in_system("role", "create")]
)
async def create_role(body: NewRole, caller: Calling, services: Serving) -> Empty:
    """Make a role of permissions that a project administrator has; ``project/read`` is always among them."""
    name = validation.role_name(body.name)
    work = partial(
        store.add_role,
        name=name,
        permissions=_checked(body.permissions),
        now=clock.timestamp(),
        description=body.description,
    )
    added = await services.changes.make(work, "create", "role", name, origin=caller.origin)
    return created(f"/api/longshore/v1/roles/{added}")


@router.get("/roles/{role_id}", dependencies=[somebody()])
async def get_role(role_id: Id, services: Serving) -> RoleResp:
    """Get a role: 1 to 5 are those that every project has, and 1 lists whatever a role may give."""
    return RoleResp.of(await services.database.read(partial(store.any_role, id=role_id)))


@router.put("/roles/{role_id}", response_class=Empty, dependencies=[in_system("role", "update")])
async def update_role(role_id: Id, body: RoleChange, caller: Calling, services: Serving) -> Empty:
    """Change a role; that counts at once for everybody who has it."""
    name = await _name(role_id, services)
    work = partial(
        store.change_role,
        id=role_id,
        now=clock.timestamp(),
        name=None if body.name is None else validation.role_name(body.name),
        description=body.description,
        permissions=None if body.permissions is None else _checked(body.permissions),
    )
    await services.changes.make(work, "update", "role", name, origin=caller.origin)
    return Empty()


@router.delete("/roles/{role_id}", response_class=Empty, dependencies=[in_system("role", "delete")])
async def delete_role(role_id: Id, caller: Calling, services: Serving) -> Empty:
    """Remove a role that no member has."""
    name = await _name(role_id, services)
    work = partial(store.remove_role, id=role_id)
    await services.changes.make(work, "delete", "role", name, origin=caller.origin)
    return Empty()


def _checked(given: Sequence[RolePermission]) -> Permissions:
    return validation.role_permissions([Permission(one.resource, one.action) for one in given])


async def _name(id: int, services: Services) -> str:
    """Of a custom one. Raises Missing, which is told as 404."""
    role = await services.database.read(partial(store.any_role, id=id))
    if not isinstance(role, CustomRole):
        raise Forbidden(f"the role {role.word} is the same everywhere: make one of your own")
    return role.name
