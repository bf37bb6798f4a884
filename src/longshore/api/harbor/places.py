"""What paths name below ``/projects/{project}/repositories``: found in that project, or nothing is."""

from functools import partial
from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import Query

from longshore.api.caller import InProject
from longshore.api.errors import NotFound
from longshore.api.harbor.artifact_shapes import full_name
from longshore.api.services import Services
from longshore.catalog import store
from longshore.catalog.model import Artifact, Reader, Repository, Wanted
from longshore.oci.errors import RegistryError
from longshore.oci.names import RepositoryName, namespace_of, parse_reference

#: An artifact without what belongs to it.
BARE: Final = Wanted(tags=False, accessories=False)
WithTags = Annotated[bool, Query(alias="with_tag")]
WithLabels = Annotated[bool, Query(alias="with_label")]
WithAccessories = Annotated[bool, Query(alias="with_accessory")]


def names_of(project: str, repository: str) -> list[RepositoryName]:
    """What a repository of the path may be called: slashes come encoded twice, once or not at all. Where
    names without a project belong to this one, they too. Empty: nothing can have that name."""
    inner = unquote(repository)
    found = []
    for name in (f"{project}/{inner}", inner):
        try:
            named = RepositoryName(name)
        except RegistryError:
            continue
        if namespace_of(named) == project and (named != inner or "/" not in inner):
            found.append(named)
    return found


def reader_of(place: InProject, resource: str) -> Reader | None:
    """For whom a list of the project's repositories or artifacts is to be cut to what rules let them pull; None:
    no rule concerns them."""
    if not place.standing.rules:
        return None
    return Reader(place.caller.view, listable=place.may(resource, "list"))


async def repository_of(
    place: InProject, repository: str, services: Services, *, counted: bool = False
) -> Repository:
    """With the number of its artifacts if they are ``counted``. Raises NotFound."""
    for name in names_of(place.project.name, repository):
        found = await services.database.read(
            partial(store.find_repository, name=name, counted=counted)
        )
        if found is not None:
            return found
    raise NotFound(f"there is no repository {unquote(repository)[:200]!r} in the project")


async def artifact_of(
    place: InProject,
    repository: str,
    reference: str,
    services: Services,
    wanted: Wanted = BARE,
) -> Artifact:
    """By tag or digest. Raises NotFound."""
    try:
        parse_reference(reference)
    except RegistryError as error:
        raise NotFound(f"there is no artifact {reference[:200]!r}: {error.message}") from error
    names = names_of(place.project.name, repository)

    for name in names:
        found = await services.database.read(
            partial(store.find_artifact, repository=name, reference=reference, wanted=wanted)
        )
        if found is not None:
            return found
    shown = full_name(unquote(repository)[:200], place.project.name)
    raise NotFound(f"there is no artifact {reference[:200]!r} in {shown}")
