"""Labels: of one project (scope ``p``) or of all (scope ``g``)."""

from functools import partial
from typing import Annotated

from fastapi import Query
from pydantic import Field

from longshore.api.caller import Caller, Calling, anybody, lacking, somebody
from longshore.api.errors import BadRequest, Forbidden, NotFound
from longshore.api.harbor import artifact_shapes
from longshore.api.harbor.artifact_shapes import Label
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import LARGEST_ID, Empty, Id, Router, Shape, created
from longshore.catalog import model, store
from longshore.identity import store as people
from longshore.identity.permissions import Permission
from longshore.telemetry import clock

router = Router(tags=["label"])


class LabelReq(Shape):
    """A label to be made or changed."""

    name: Annotated[str, Field(max_length=128)] = ""
    description: Annotated[str, Field(max_length=1024)] | None = None
    color: Annotated[str, Field(max_length=32)] | None = None
    scope: Annotated[str, Field(max_length=16)] = ""
    project_id: Annotated[int, Field(ge=0, le=LARGEST_ID)] = 0


@router.get("/labels", dependencies=[anybody()])
async def list_labels(
    page: Paged,
    caller: Calling,
    services: Serving,
    name: Annotated[str, Query(max_length=128, description="A part of the name.")] = "",
    scope: Annotated[str, Query(max_length=16, description="g or p.")] = "",
    project_id: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
) -> list[Label]:
    """List the labels of a project, or those of all."""
    project = _project(scope, project_id)
    if project is not None:
        await _needs("list", project, caller, services)
    listing = page.where(name=name and f"~{name}")
    found, total = await services.database.read(
        partial(store.page_of_labels, listing=listing, project=project)
    )
    page.counted(total)
    return [artifact_shapes.label(one) for one in found]


@router.post("/labels", status_code=201, response_class=Empty, dependencies=[somebody()])
async def create_label(body: LabelReq, caller: Calling, services: Serving) -> Empty:
    """Make a label."""
    project = _project(body.scope, body.project_id)
    await _needs("create", project, caller, services)
    if not body.name:
        raise BadRequest("name: a label needs one, of at most 128 characters")
    added = await services.changes.make(
        partial(
            store.add_label,
            name=body.name,
            description=body.description or "",
            color=body.color or "",
            project=project,
            now=clock.timestamp(),
        ),
        "create",
        "label",
        body.name,
        origin=caller.origin,
    )
    return created(f"/api/v2.0/labels/{added}")


@router.get("/labels/{label_id}", dependencies=[somebody()])
async def get_label_by_id(label_id: Id, caller: Calling, services: Serving) -> Label:
    """Get a label."""
    return artifact_shapes.label(await _label(label_id, "read", caller, services))


@router.put("/labels/{label_id}", response_class=Empty, dependencies=[somebody()])
async def update_label(label_id: Id, body: LabelReq, caller: Calling, services: Serving) -> Empty:
    """Change its name, description and color; what is not given stays."""
    label = await _label(label_id, "update", caller, services)
    await services.changes.make(
        partial(
            store.change_label,
            id=label.id,
            name=body.name or label.name,
            description=label.description if body.description is None else body.description,
            color=label.color if body.color is None else body.color,
            now=clock.timestamp(),
        ),
        "update",
        "label",
        label.name,
        origin=caller.origin,
    )
    return Empty()


@router.delete("/labels/{label_id}", response_class=Empty, dependencies=[somebody()])
async def delete_label(label_id: Id, caller: Calling, services: Serving) -> Empty:
    """Remove a label, also from artifacts that are marked with it."""
    label = await _label(label_id, "delete", caller, services)
    await services.changes.make(
        partial(store.remove_label, id=label.id),
        "delete",
        "label",
        label.name,
        origin=caller.origin,
    )
    return Empty()


def _project(scope: str, project: int) -> int | None:
    match scope:
        case "g":
            return None
        case "p" if project:
            return project
        case "p":
            raise BadRequest("project_id: with scope p, it says which project's labels")
        case _:
            raise BadRequest(f"scope is {scope!r}; it should be g (all projects) or p (one)")


async def _label(id: int, action: str, caller: Caller, services: Services) -> model.Label:
    """Raises NotFound also when the caller may not know that there is such a label."""
    found = await services.database.read(partial(store.find_label, id=id))
    if found is None:
        if not caller.is_admin:
            raise Forbidden(f"there is no label {id}, or you may not {action} it")
        raise NotFound(f"there is no label {id}")
    await _needs(action, found.project_id, caller, services, label=id)
    return found


async def _needs(
    action: str, project: int | None, caller: Caller, services: Services, label: int | None = None
) -> None:
    """Raises Forbidden or Unauthorized."""
    needed = Permission("label", action)
    if project is None:
        if action == "read" or needed in caller.permissions:
            return
    else:
        found = await services.database.read(partial(people.find_project, id=project))
        if found is None and caller.is_admin:
            raise NotFound(f"there is no project {project}")
        if found is not None:
            standing = await caller.before(found.name)
            if needed in standing.permissions:
                return
    caller.logged_in()
    if label is not None:
        raise Forbidden(f"there is no label {label}, or you may not {action} it")
    raise lacking(caller, needed)
