"""Projects and their metadata."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final

from fastapi import Header, Query
from pydantic import Field

from longshore.api.caller import Caller, Calling, InProject, anybody, in_project, lacking, somebody
from longshore.api.errors import BadRequest, Conflict, Forbidden, NotFound
from longshore.api.harbor import quotas
from longshore.api.harbor.metadata import checked, metadata_of, readable
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Moment, Router, Shape, created, moment
from longshore.identity import store, validation
from longshore.identity.model import AnyRole, Role, ranked
from longshore.identity.model import Project as Row
from longshore.identity.permissions import Permission
from longshore.quotas.store import find_quota
from longshore.telemetry import clock

router = Router(tags=["project"])

#: What harbor's roles are called in summaries.
_COUNTS: Final[Mapping[Role, str]] = {
    Role.PROJECT_ADMIN: "project_admin_count",
    Role.MAINTAINER: "maintainer_count",
    Role.DEVELOPER: "developer_count",
    Role.GUEST: "guest_count",
    Role.LIMITED_GUEST: "limited_guest_count",
}


class ProjectReq(Shape):
    """A project to be made or changed; what is not given stays."""

    project_name: str = ""
    public: bool | None = None
    metadata: dict[str, str | None] | None = None
    storage_limit: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    registry_id: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None


class Project(Shape):
    """A project, and who the caller is in it."""

    project_id: int = 0
    owner_id: int = 0
    name: str = ""
    owner_name: str = ""
    creation_time: Moment
    update_time: Moment
    current_user_role_id: int = 0
    current_user_role_ids: list[int] = Field(default_factory=list)
    repo_count: int
    metadata: dict[str, str] = Field(default_factory=dict)


class ProjectDeletable(Shape):
    """Whether a project may go, and why not."""

    deletable: bool
    message: str = ""


class ProjectSummaryQuota(Shape):
    """What the project may hold, and what it holds."""

    hard: dict[str, int]
    used: dict[str, int]


class ProjectSummary(Shape):
    """What there is in a project."""

    repo_count: int
    project_admin_count: int = 0
    maintainer_count: int = 0
    developer_count: int = 0
    guest_count: int = 0
    limited_guest_count: int = 0
    quota: ProjectSummaryQuota | None = None


@router.get("/projects", dependencies=[anybody()])
async def list_projects(
    page: Paged,
    caller: Calling,
    services: Serving,
    name: Annotated[str, Query(max_length=255, description="A part of the name.")] = "",
    public: bool | None = None,
    owner: Annotated[str, Query(max_length=255)] = "",
    with_detail: bool = True,
) -> list[Project]:
    """List the projects that the caller may see."""
    listing = page.where(
        name=name and f"~{name}",
        public=None if public is None else str(public).lower(),
        owner=owner,
    )
    work = partial(store.page_of_projects, listing=listing, view=caller.view)
    found, total = await services.database.read(work)
    page.counted(total)
    return await rendered(found, caller, services)


@router.head("/projects", response_class=Empty, dependencies=[somebody()])
async def head_project(
    caller: Calling, services: Serving, project_name: Annotated[str, Query(max_length=255)]
) -> Empty:
    """Say whether there is a project of that name."""
    found = await services.database.read(partial(store.find_project, name=project_name))
    if found is None:
        raise NotFound(f"there is no project {project_name[:100]!r}")
    return Empty()


@router.post("/projects", status_code=201, response_class=Empty, dependencies=[somebody()])
async def create_project(
    body: ProjectReq,
    caller: Calling,
    services: Serving,
    name_in_location: Annotated[bool, Header(alias="X-Resource-Name-In-Location")] = False,
) -> Empty:
    """Make a project, whose first project admin is the caller."""
    owner = await _owner(caller, services)
    if not caller.is_admin and await services.system.only_administrators_make_projects():
        raise Forbidden(
            "only administrators make projects here (project_creation_restriction is adminonly): ask one"
        )
    name = validation.project_name(body.project_name)
    if body.registry_id:
        raise BadRequest("registry_id: this registry has no proxy projects")
    given = {key: value for key, value in (body.metadata or {}).items() if value is not None}
    public, metadata = checked(given)

    def work(connection: Any) -> int:
        added = store.add_project(
            connection,
            name,
            clock.timestamp(),
            public=bool(body.public) if public is None else public,
            owner=owner,
            metadata=metadata,
        )
        if caller.is_admin:  # others may ask, and get the configuration's limit
            quotas.limiting(name, body.storage_limit, connection)
        return added

    project = await services.changes.make(
        work,
        "create",
        "project",
        name,
        project=name,
        origin=caller.origin,
    )
    return created(f"/api/v2.0/projects/{name if name_in_location else project}")


@router.get("/projects/{project}")
async def get_project(
    place: Annotated[InProject, in_project("project", "read")], services: Serving
) -> Project:
    """Get a project."""
    (found,) = await rendered([place.project], place.caller, services)
    return found


@router.put("/projects/{project}", response_class=Empty)
async def update_project(
    body: ProjectReq,
    place: Annotated[InProject, in_project("project", "update")],
    services: Serving,
) -> Empty:
    """Change whatever is given."""
    given = {key: value for key, value in (body.metadata or {}).items() if value is not None}
    public, metadata = checked(given)
    chosen = body.public if public is None else public

    def work(connection: Any) -> None:
        now = store.find_project(connection, id=place.project.id) or place.project
        merged = {**(now.metadata or {}), **metadata}
        store.update_project(connection, place.project.id, public=chosen, metadata=merged)

    await _change(work, "update", place, services)
    return Empty()


@router.delete("/projects/{project}", response_class=Empty)
async def delete_project(
    place: Annotated[InProject, in_project("project", "delete")], services: Serving
) -> Empty:
    """Remove a project without repositories, with its members' roles."""
    await _change(partial(store.remove_project, name=place.project.name), "delete", place, services)
    return Empty()


@router.get("/projects/{project}/_deletable")
async def get_project_deletable(
    place: Annotated[InProject, in_project("project", "delete")], services: Serving
) -> ProjectDeletable:
    """Say whether the project may go."""
    first = await services.database.read(
        partial(store.first_repository, project=place.project.name)
    )
    if first is None:
        return ProjectDeletable(deletable=True)
    return ProjectDeletable(
        deletable=False, message=f"the project contains repositories, the first is {first}"
    )


@router.get("/projects/{project}/summary")
async def get_project_summary(
    place: Annotated[InProject, in_project("project", "read")], services: Serving
) -> ProjectSummary:
    """Count what there is in a project; members only for who may see them."""
    name, id = place.project.name, place.project.id
    counts = await services.database.read(
        partial(store.count_repositories, names=[name], view=place.caller.view)
    )
    summary = ProjectSummary(repo_count=counts[name])
    if place.may("member", "list"):
        members = await services.database.read(partial(store.count_members, project=id))
        for role, field in _COUNTS.items():
            setattr(summary, field, members[role])
    defaults = await quotas.defaults(services)
    if place.may("quota", "read") and defaults.enforced:
        work = partial(find_quota, defaults=defaults, id=id)
        found = await services.database.read(work)
        summary.quota = ProjectSummaryQuota(hard=quotas.hard(found), used=quotas.used(found))
    return summary


@router.get("/projects/{project}/metadatas", tags=["projectMetadata"])
async def list_project_metadatas(
    place: Annotated[InProject, in_project("metadata", "list")],
) -> dict[str, str]:
    """List what is set."""
    return readable(place.project)


@router.post("/projects/{project}/metadatas", response_class=Empty, tags=["projectMetadata"])
async def add_project_metadatas(
    body: dict[str, str],
    place: Annotated[InProject, in_project("metadata", "create")],
    services: Serving,
) -> Empty:
    """Set one thing that is not set."""
    name = _only(body)
    if name in readable(place.project):
        raise Conflict(f"metadata {name!r} is set already")
    await _set_metadata(body, place, services)
    return Empty()


@router.get("/projects/{project}/metadatas/{meta_name}", tags=["projectMetadata"])
async def get_project_metadata(
    meta_name: str, place: Annotated[InProject, in_project("metadata", "read")]
) -> dict[str, str]:
    """Get one thing."""
    return {meta_name: metadata_of(place.project, meta_name)}


@router.put(
    "/projects/{project}/metadatas/{meta_name}", response_class=Empty, tags=["projectMetadata"]
)
async def update_project_metadata(
    meta_name: str,
    body: dict[str, str],
    place: Annotated[InProject, in_project("metadata", "update")],
    services: Serving,
) -> Empty:
    """Change one thing that is set."""
    if _only(body) != meta_name:
        raise BadRequest(f"the body sets {_only(body)!r} and the path names {meta_name!r}")
    metadata_of(place.project, meta_name)
    await _set_metadata(body, place, services)
    return Empty()


@router.delete(
    "/projects/{project}/metadatas/{meta_name}", response_class=Empty, tags=["projectMetadata"]
)
async def delete_project_metadata(
    meta_name: str,
    place: Annotated[InProject, in_project("metadata", "delete")],
    services: Serving,
) -> Empty:
    """Unset one thing."""
    metadata_of(place.project, meta_name)
    if meta_name == "public":
        await _set_metadata({"public": "false"}, place, services)
        return Empty()

    def work(connection: Any) -> None:
        now = store.find_project(connection, id=place.project.id) or place.project
        left = {key: value for key, value in (now.metadata or {}).items() if key != meta_name}
        store.update_project(connection, place.project.id, metadata=left)

    await _change(work, "update", place, services)
    return Empty()


def _only(body: Mapping[str, str]) -> str:
    if len(body) != 1:
        raise BadRequest(f"the body has {len(body)} entries; one at a time is set")
    return next(iter(body))


async def _set_metadata(body: Mapping[str, str], place: InProject, services: Services) -> None:
    public, metadata = checked(body)

    def work(connection: Any) -> None:
        now = store.find_project(connection, id=place.project.id) or place.project
        merged = {**(now.metadata or {}), **metadata}
        store.update_project(connection, place.project.id, public=public, metadata=merged)

    await _change(work, "update", place, services)


async def _owner(caller: Caller, services: Services) -> str:
    """Whose the project is that ``caller`` makes. Raises Forbidden for robots and access tokens that may
    make none."""
    if caller.user_id is not None:
        return caller.standing.person
    needed = Permission("project", "create")
    if needed not in caller.permissions:
        raise lacking(caller, needed)
    return await services.database.read(store.first_administrator)


async def _change(work: Any, operation: str, place: InProject, services: Services) -> None:
    name = place.project.name
    await services.changes.make(
        work, operation, "project", name, project=name, origin=place.caller.origin
    )


async def rendered(found: Sequence[Row], caller: Caller, services: Services) -> list[Project]:
    """Projects as replies have them."""
    names = [project.name for project in found]
    counts = await services.database.read(
        partial(store.count_repositories, names=names, view=caller.view)
    )
    roles: Mapping[int, frozenset[AnyRole]] = {}
    if caller.user_id is not None:
        ids = [project.id for project in found]
        roles = await services.database.read(
            partial(store.roles_in, user=caller.user_id, projects=ids)
        )
    return [_project(one, counts[one.name], roles.get(one.id, frozenset())) for one in found]


def _project(row: Row, repositories: int, roles: frozenset[AnyRole]) -> Project:
    strongest = ranked(roles)
    return Project(
        project_id=row.id,
        owner_id=row.owner_id or 0,
        name=row.name,
        owner_name=row.owner or "",
        creation_time=moment(row.created_at),
        update_time=moment(row.updated_at),
        current_user_role_id=strongest[0].value if strongest else 0,
        current_user_role_ids=[role.value for role in strongest],
        repo_count=repositories,
        metadata=readable(row),
    )
