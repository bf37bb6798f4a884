"""Search in names, and counts of what there is."""

from functools import partial
from typing import Annotated

from fastapi import Query

from longshore.api.caller import Calling, anybody, somebody
from longshore.api.harbor.artifact_shapes import full_name
from longshore.api.harbor.projects import Project, rendered
from longshore.api.services import Serving
from longshore.api.wire import Router, Shape
from longshore.catalog import store
from longshore.db.listing import Containing, Listing
from longshore.identity import store as people

router = Router()

#: Projects, and repositories, in one answer.
_MOST = 100


class SearchRepository(Shape):
    """A repository whose name has what is searched for in it."""

    project_id: int = 0
    project_name: str = ""
    project_public: bool
    repository_name: str = ""
    pull_count: int = 0
    artifact_count: int = 0


class Search(Shape):
    """What was found."""

    project: list[Project]
    repository: list[SearchRepository]


class Statistic(Shape):
    """Counts of what the caller may see; bytes only for administrators."""

    private_project_count: int
    private_repo_count: int
    public_project_count: int
    public_repo_count: int
    total_project_count: int
    total_repo_count: int
    total_storage_consumption: int


@router.get("/search", dependencies=[anybody()], tags=["search"])
async def search(
    caller: Calling, services: Serving, q: Annotated[str, Query(max_length=255)]
) -> Search:
    """Find projects and repositories by a part of their names, at most a hundred of each."""
    listing = Listing({"name": Containing(q)}, limit=_MOST, counted=False)
    projects, _ = await services.database.read(
        partial(
            people.page_of_projects,
            listing=listing,
            view=caller.view,
        )
    )
    found, _ = await services.database.read(
        partial(
            store.page_of_visible_repositories,
            listing=listing,
            view=caller.view,
        )
    )
    owners = await services.database.read(
        partial(people.projects_named, names={one.project for one in found})
    )
    return Search(
        project=await rendered(projects, caller, services),
        repository=[
            SearchRepository(
                project_id=owners[one.project].id,
                project_name=one.project,
                project_public=owners[one.project].public,
                repository_name=full_name(one.name, one.project),
                pull_count=one.pulls,
                artifact_count=one.artifacts,
            )
            for one in found
            if one.project in owners
        ],
    )


@router.get("/statistics", dependencies=[somebody()], tags=["statistic"])
async def get_statistic(caller: Calling, services: Serving) -> Statistic:
    """Count projects and repositories."""
    found = await services.database.read(partial(store.statistics, view=caller.view))
    return Statistic(
        private_project_count=found.private_projects,
        private_repo_count=found.private_repositories,
        public_project_count=found.public_projects,
        public_repo_count=found.public_repositories,
        total_project_count=found.private_projects + found.public_projects,
        total_repo_count=found.private_repositories + found.public_repositories,
        total_storage_consumption=found.bytes,
    )
