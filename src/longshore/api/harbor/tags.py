"""Tags of artifacts."""

from functools import partial
from typing import Annotated

from pydantic import Field

from longshore.api.caller import InProject, in_project
from longshore.api.errors import BadRequest
from longshore.api.harbor import artifact_shapes
from longshore.api.harbor.artifact_shapes import Tag
from longshore.api.harbor.places import artifact_of
from longshore.api.query import Paged
from longshore.api.services import Serving
from longshore.api.wire import Empty, Router, Shape
from longshore.catalog import store
from longshore.oci import names
from longshore.oci.errors import RegistryError

router = Router(tags=["artifact"])

ALL = "/projects/{project}/repositories/{repository:path}/artifacts/{reference}/tags"


class NewTag(Shape):
    """A tag to be made."""

    name: Annotated[str, Field(max_length=255)]


@router.get(ALL)
async def list_tags(
    repository: str,
    reference: str,
    page: Paged,
    place: Annotated[InProject, in_project("tag", "list", by_name=True)],
    services: Serving,
) -> list[Tag]:
    """List the tags of an artifact, the newest first."""
    found = await artifact_of(place, repository, reference, services)
    tags, total = await services.database.read(
        partial(
            store.page_of_tags,
            artifact=found,
            listing=page.listing,
        )
    )
    page.counted(total)
    return [artifact_shapes.tag(one, found) for one in tags]


@router.post(ALL, status_code=201, response_class=Empty)
async def create_tag(
    repository: str,
    reference: str,
    body: NewTag,
    place: Annotated[InProject, in_project("tag", "create", by_name=True)],
    services: Serving,
) -> Empty:
    """Give an artifact one more tag, which the repository must not have yet."""
    try:
        tag = names.Tag(body.name)
    except RegistryError as error:
        raise BadRequest(error.message) from error
    found = await artifact_of(place, repository, reference, services)
    await services.catalog.editing.tag(found, tag, place.caller.origin)
    return Empty(201)


@router.delete(ALL + "/{tag_name}", response_class=Empty)
async def delete_tag(
    repository: str,
    reference: str,
    tag_name: str,
    place: Annotated[InProject, in_project("tag", "delete", by_name=True)],
    services: Serving,
) -> Empty:
    """Take a tag away from an artifact, which stays."""
    found = await artifact_of(place, repository, reference, services)
    await services.catalog.editing.untag(found, tag_name, place.caller.origin)
    return Empty()
