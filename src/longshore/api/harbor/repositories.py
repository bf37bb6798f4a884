"""Repositories."""

import html
from functools import partial
from typing import Annotated

from pydantic import Field

from longshore.api.caller import Calling, InProject, anybody, in_project
from longshore.api.harbor import artifact_shapes
from longshore.api.harbor.artifact_shapes import Repository
from longshore.api.harbor.places import reader_of, repository_of
from longshore.api.query import Paged
from longshore.api.services import Serving
from longshore.api.wire import Empty, Router, Shape
from longshore.catalog import store
from longshore.identity import store as people
from longshore.oci.names import RepositoryName
from longshore.telemetry import clock

router = Router(tags=["repository"])

ONE = "/projects/{project}/repositories/{repository:path}"


class RepositoryReq(Shape):
    """What may be changed of a repository."""

    description: Annotated[str, Field(max_length=8192)] = ""


@router.get("/repositories", dependencies=[anybody()])
async def list_all_repositories(
    page: Paged, caller: Calling, services: Serving
) -> list[Repository]:
    """List the repositories that the caller may see, in all projects."""
    found, total = await services.database.read(
        partial(
            store.page_of_visible_repositories,
            listing=page.listing,
            view=caller.view,
        )
    )
    page.counted(total)
    owners = await services.database.read(
        partial(people.projects_named, names={one.project for one in found})
    )
    return [
        artifact_shapes.repository(one, owners[one.project].id if one.project in owners else 0)
        for one in found
    ]


@router.get("/projects/{project}/repositories")
async def list_repositories(
    page: Paged,
    place: Annotated[InProject, in_project("repository", "list", by_name=True)],
    services: Serving,
) -> list[Repository]:
    """List the repositories of a project, the newest first."""
    work = partial(
        store.page_of_repositories,
        listing=page.listing,
        projects=[place.project.name],
        reader=reader_of(place, "repository"),
    )
    found, total = await services.database.read(work)
    page.counted(total)
    return [artifact_shapes.repository(one, place.project.id) for one in found]


@router.get(ONE)
async def get_repository(
    repository: str,
    place: Annotated[InProject, in_project("repository", "read", by_name=True)],
    services: Serving,
) -> Repository:
    """Get a repository; slashes in its name are encoded twice (``%252F``)."""
    found = await repository_of(place, repository, services, counted=True)
    return artifact_shapes.repository(found, place.project.id)


@router.put(ONE, response_class=Empty)
async def update_repository(
    repository: str,
    body: RepositoryReq,
    place: Annotated[InProject, in_project("repository", "update", by_name=True)],
    services: Serving,
) -> Empty:
    """Change its description. Markup in it is shown as it is written, not followed."""
    found = await repository_of(place, repository, services)
    description = html.escape(body.description, quote=False)
    await services.changes.make(
        partial(
            store.describe, repository=found.id, description=description, now=clock.timestamp()
        ),
        "update",
        "repository",
        found.name,
        project=place.project.name,
        origin=place.caller.origin,
    )
    return Empty()


@router.delete(ONE, response_class=Empty)
async def delete_repository(
    repository: str,
    place: Annotated[InProject, in_project("repository", "delete", by_name=True)],
    services: Serving,
) -> Empty:
    """Remove a repository with everything in it."""
    found = await repository_of(place, repository, services)
    await services.catalog.editing.delete_repository(
        RepositoryName(found.name), place.caller.origin
    )
    return Empty()
