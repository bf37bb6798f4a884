"""Groups of users: those of directories and providers, and teams."""

from functools import partial
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field

from longshore.api import directories
from longshore.api.caller import Calling, in_system, somebody
from longshore.api.errors import BadRequest, NotFound
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Router, Shape, created
from longshore.identity import store, validation
from longshore.identity.model import Group, GroupKind
from longshore.telemetry import clock

router = Router(tags=["usergroup"])

_LONGEST = 255


class UserGroup(Shape):
    """A group."""

    id: int = 0
    group_name: str = ""
    group_type: int = 0
    ldap_group_dn: str = ""

    @classmethod
    def of(cls, group: Group) -> "UserGroup":
        directory = group.kind is GroupKind.LDAP
        return cls(
            id=group.id,
            group_name=group.name,
            group_type=group.kind.value,
            ldap_group_dn=group.external_id if directory else "",
        )


class UserGroupReq(Shape):
    """A group to be made or changed."""

    group_name: Annotated[str, Field(max_length=_LONGEST)] = ""
    group_type: int = 0
    ldap_group_dn: Annotated[str, Field(max_length=1024)] = ""


class UserGroupSearchItem(Shape):
    """A group, for everybody who logged in."""

    id: int = 0
    group_name: str = ""
    group_type: int = 0


@router.get("/usergroups", dependencies=[in_system("user-group", "list")])
async def list_user_groups(
    page: Paged,
    services: Serving,
    ldap_group_dn: Annotated[str, Query(max_length=1024)] = "",
    group_name: Annotated[str, Query(max_length=_LONGEST, description="A part of it.")] = "",
) -> list[UserGroup]:
    """List groups."""
    listing = page.where(ldap_group_dn=ldap_group_dn, group_name=group_name and f"~{group_name}")
    found, total = await services.database.read(partial(store.page_of_groups, listing=listing))
    page.counted(total)
    return [UserGroup.of(group) for group in found]


@router.post(
    "/usergroups",
    status_code=201,
    response_class=Empty,
    dependencies=[in_system("user-group", "create")],
)
async def create_user_group(body: UserGroupReq, caller: Calling, services: Serving) -> Empty:
    """Make a group."""
    try:
        kind = GroupKind(body.group_type)
    except ValueError as error:
        known = ", ".join(f"{kind.value} {kind.name}" for kind in GroupKind)
        raise BadRequest(f"group_type {body.group_type} is none of {known}") from error
    directory = kind is GroupKind.LDAP
    if directory and not body.ldap_group_dn:
        raise BadRequest(
            "ldap_group_dn is missing: a group of a directory has a distinguished name"
        )
    dn, found = body.ldap_group_dn, ""
    if directory:
        group_there = await directories.resolved(services, dn, caller)
        dn, found = group_there.dn, group_there.name
    name = body.group_name.strip() or found or dn
    if not name:
        raise BadRequest("group_name is missing")
    if kind is GroupKind.TEAM:
        name = validation.team_name(name)
    group = await services.changes.make(
        partial(
            store.add_group,
            kind=kind,
            name=name,
            now=clock.timestamp(),
            external_id=dn if directory else "",
        ),
        "create",
        "group",
        name,
        origin=caller.origin,
    )
    return created(f"/api/v2.0/usergroups/{group}")


@router.get("/usergroups/search", dependencies=[somebody()])
async def search_user_groups(
    page: Paged, services: Serving, groupname: Annotated[str, Query(max_length=_LONGEST)]
) -> list[UserGroupSearchItem]:
    """Find groups by a part of their names; for choosing a member."""
    listing = page.where(group_name=f"~{groupname}")
    found, total = await services.database.read(partial(store.page_of_groups, listing=listing))
    page.counted(total)
    return [
        UserGroupSearchItem(id=group.id, group_name=group.name, group_type=group.kind.value)
        for group in found
    ]


@router.get("/usergroups/{group_id}", dependencies=[in_system("user-group", "read")])
async def get_user_group(group_id: Id, services: Serving) -> UserGroup:
    """Get a group."""
    return UserGroup.of(await _group(group_id, services))


@router.put(
    "/usergroups/{group_id}",
    response_class=Empty,
    dependencies=[in_system("user-group", "update")],
)
async def update_user_group(
    group_id: Id, body: UserGroupReq, caller: Calling, services: Serving
) -> Empty:
    """Give a group another name; nothing else of it changes."""
    found = await _group(group_id, services)
    name = body.group_name.strip()
    if not name:
        raise BadRequest("group_name is missing")
    if found.kind is GroupKind.TEAM:
        name = validation.team_name(name)
    work = partial(store.rename_group, id=group_id, name=name)
    await _change(work, "update", found, caller, services)
    return Empty()


@router.delete(
    "/usergroups/{group_id}",
    response_class=Empty,
    dependencies=[in_system("user-group", "delete")],
)
async def delete_user_group(group_id: Id, caller: Calling, services: Serving) -> Empty:
    """Remove a group with its roles in projects; its users stay."""
    found = await _group(group_id, services)
    await _change(partial(store.remove_group, id=group_id), "delete", found, caller, services)
    return Empty()


async def _group(id: int, services: Services) -> Group:
    found = await services.database.read(partial(store.find_group, id=id))
    if found is None:
        raise NotFound(f"there is no group with the id {id}")
    return found


async def _change(
    work: Any, operation: str, group: Group, caller: Calling, services: Services
) -> None:
    await services.changes.make(work, operation, "group", group.name, origin=caller.origin)
