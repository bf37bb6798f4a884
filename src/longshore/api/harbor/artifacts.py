"""Artifacts: lists, copies, what is attached to them, what else they have to show, and their labels."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from longshore.api.caller import InProject, in_project, lacking
from longshore.api.errors import BadRequest, Forbidden, NotFound
from longshore.api.harbor import artifact_shapes
from longshore.api.harbor.artifact_shapes import Accessory, Artifact
from longshore.api.harbor.places import (
    BARE,
    WithAccessories,
    WithLabels,
    WithTags,
    artifact_of,
    names_of,
    reader_of,
    repository_of,
)
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Router, Shape, created
from longshore.catalog import model, store
from longshore.catalog.model import Wanted
from longshore.db.listing import Exactly
from longshore.identity.permissions import Permission
from longshore.oci.errors import RegistryError
from longshore.oci.names import RepositoryName, Tag, namespace_of
from longshore.oci.reference import Reference

router = Router(tags=["artifact"])

ALL = "/projects/{project}/repositories/{repository:path}/artifacts"
ONE = ALL + "/{reference}"


class LabelReq(Shape):
    """A label that exists."""

    id: Annotated[int, Query(ge=1, le=2**63 - 1)]


@router.get("/projects/{project}/artifacts")
async def list_artifacts_of_project(
    page: Paged,
    place: Annotated[InProject, in_project("artifact", "list")],
    services: Serving,
    with_tag: WithTags = True,
    with_label: WithLabels = False,
    with_accessory: WithAccessories = True,
    latest_in_repository: bool = False,
) -> list[Artifact]:
    """List the artifacts of all repositories of a project, the newest first."""
    if latest_in_repository:
        named = {"media_type", "artifact_type"} & {
            name
            for name, condition in page.listing.conditions.items()
            if isinstance(condition, Exactly)
        }
        if len(named) != 1:
            raise BadRequest(
                "latest_in_repository needs one of media_type=... and artifact_type=... in q"
            )
    wanted = Wanted(with_tag, with_label, with_accessory)
    work = partial(
        store.page_of_artifacts,
        listing=page.listing,
        project=place.project.name,
        latest=latest_in_repository,
        wanted=wanted,
        reader=reader_of(place, "artifact"),
    )
    found, total = await services.database.read(work)
    page.counted(total)
    return await _rendered(found, place, services, wanted)


@router.get(ALL)
async def list_artifacts(
    repository: str,
    page: Paged,
    place: Annotated[InProject, in_project("artifact", "list", by_name=True)],
    services: Serving,
    with_tag: WithTags = True,
    with_label: WithLabels = False,
    with_accessory: WithAccessories = True,
) -> list[Artifact]:
    """List the artifacts of a repository, the newest first. Parts of indexes and what is attached to others
    are shown only with ``base=*`` in ``q``."""
    name = (await repository_of(place, repository, services)).name
    wanted = Wanted(with_tag, with_label, with_accessory)
    found, total = await services.database.read(
        partial(store.page_of_artifacts, listing=page.listing, repository=name, wanted=wanted)
    )
    page.counted(total)
    return await _rendered(found, place, services, wanted)


@router.post(ALL, status_code=201, response_class=Empty)
async def copy_artifact(
    repository: str,
    place: Annotated[InProject, in_project("artifact", "create", by_name=True)],
    services: Serving,
    source: Annotated[
        str,
        Query(
            alias="from",
            max_length=1024,
            description="project/repository:tag or project/repository@digest",
        ),
    ],
) -> Empty:
    """Copy an artifact from another repository, with its children and what is attached to it."""
    try:
        named = Reference.parse(f"registry.invalid/{source}")
        name, reference = named.repository, named.target
    except (RegistryError, ValueError) as error:
        raise BadRequest(f"from={source[:200]!r} is no project/repository:tag: {error}") from error
    names = names_of(place.project.name, repository)
    if not names:
        raise BadRequest(f"{repository[:200]!r} can be no repository's name")
    await _may_read(place, name)
    found = await services.database.read(
        partial(store.find_artifact, repository=name, reference=str(reference), wanted=BARE)
    )
    if found is None:
        raise BadRequest(f"from: there is no artifact {source[:200]}")
    tag = reference if isinstance(reference, Tag) else None
    await services.catalog.editing.copy(found, tag, names[0], place.caller.origin)
    digest = found.digest
    return created(
        f"/api/v2.0/projects/{place.project.name}/repositories/{repository}/artifacts/{digest}"
    )


@router.get(ONE)
async def get_artifact(
    repository: str,
    reference: str,
    place: Annotated[InProject, in_project("artifact", "read", by_name=True)],
    services: Serving,
    with_tag: WithTags = True,
    with_label: WithLabels = False,
    with_accessory: WithAccessories = True,
) -> Artifact:
    """Get an artifact by tag or digest."""
    wanted = Wanted(with_tag, with_label, with_accessory)
    found = await artifact_of(place, repository, reference, services, wanted)
    (shown,) = await _rendered([found], place, services, wanted)
    return shown


@router.delete(ONE, response_class=Empty)
async def delete_artifact(
    repository: str,
    reference: str,
    place: Annotated[InProject, in_project("artifact", "delete", by_name=True)],
    services: Serving,
) -> Empty:
    """Remove an artifact with its tags, what is attached to it, and children that nothing else needs."""
    found = await artifact_of(place, repository, reference, services)
    await services.catalog.editing.delete(found, place.caller.origin)
    return Empty()


@router.get(ONE + "/accessories")
async def list_accessories(
    repository: str,
    reference: str,
    page: Paged,
    place: Annotated[InProject, in_project("accessory", "list", by_name=True)],
    services: Serving,
) -> list[Accessory]:
    """List what is attached to an artifact: signatures, SBOMs and others."""
    subject = await artifact_of(place, repository, reference, services)
    found, total = await services.database.read(
        partial(
            store.page_of_accessories,
            artifact=subject,
            listing=page.listing,
        )
    )
    page.counted(total)
    name = artifact_shapes.full_name(subject.repository, place.project.name)
    return [artifact_shapes.accessory(one, subject, name) for one in found]


@router.get(ONE + "/additions/vulnerabilities")
async def get_vulnerabilities_addition(
    repository: str,
    reference: str,
    place: Annotated[InProject, in_project("artifact-addition", "read", by_name=True)],
    services: Serving,
) -> dict[str, Any]:
    """Get the reports about an artifact, by their media types; nothing looks for vulnerabilities yet."""
    await artifact_of(place, repository, reference, services)
    return {}


@router.get(ONE + "/additions/{addition}", response_class=Response)
async def get_addition(
    repository: str,
    reference: str,
    addition: str,
    place: Annotated[InProject, in_project("artifact-addition", "read", by_name=True)],
    services: Serving,
) -> Response:
    """Get what else an artifact has to show: ``build_history`` of images, ``values.yaml``, ``readme.md``
    and ``dependencies`` of charts."""
    found = await artifact_of(place, repository, reference, services)
    shown = await services.catalog.additions.read(found, addition)
    return Response(
        shown.content,
        media_type=shown.media_type,
        headers={"Content-Security-Policy": "sandbox; default-src 'none'"},
    )


@router.post(ONE + "/labels", response_class=Empty, tags=["label"])
async def add_label(
    repository: str,
    reference: str,
    body: LabelReq,
    place: Annotated[InProject, in_project("artifact-label", "create", by_name=True)],
    services: Serving,
) -> Empty:
    """Mark an artifact with a label of its project or of all."""
    found = await artifact_of(place, repository, reference, services)
    await _usable_label(body.id, place, services)
    await _mark(partial(store.put_on, label=body.id, artifact=found.id), found, place, services)
    return Empty()


@router.delete(ONE + "/labels/{label_id}", response_class=Empty, tags=["label"])
async def remove_label(
    repository: str,
    reference: str,
    label_id: Id,
    place: Annotated[InProject, in_project("artifact-label", "delete", by_name=True)],
    services: Serving,
) -> Empty:
    """Take a label away from an artifact."""
    found = await artifact_of(place, repository, reference, services)
    await _usable_label(label_id, place, services)
    await _mark(partial(store.take_off, label=label_id, artifact=found.id), found, place, services)
    return Empty()


async def _mark(work: Any, found: model.Artifact, place: InProject, services: Services) -> None:
    await services.changes.make(
        work,
        "update",
        "artifact",
        f"{found.repository}@{found.digest}",
        project=place.project.name,
        description="its labels",
        origin=place.caller.origin,
    )


async def _usable_label(id: int, place: InProject, services: Services) -> None:
    label = await services.database.read(partial(store.find_label, id=id))
    if label is None or label.project_id not in (None, place.project.id):
        raise NotFound(f"there is no label {id} for the project {place.project.name}")


async def _may_read(place: InProject, name: RepositoryName) -> None:
    """The same answer whether there is no such project or the caller may not read the repository. Whoever copies
    an image can pull the copy, so the right to look at it is not enough."""
    standing = await place.caller.before(namespace_of(name))
    has = standing.permissions_in(name)
    for needed in (Permission("artifact", "read"), Permission("repository", "pull")):
        if needed not in has:
            raise Forbidden(f"{lacking(place.caller, needed).message} in the project of from=")


async def _rendered(
    found: Sequence[model.Artifact], place: InProject, services: Services, wanted: Wanted
) -> list[Artifact]:
    details = services.catalog.details
    said = await details.attributes(found)
    listed = await details.listed(found)
    project = (place.project.id, place.project.name)
    return [
        artifact_shapes.artifact(one, project, said.get(one.id), listed.get(one.id), wanted)
        for one in found
    ]
