"""How repositories, artifacts and what belongs to them are written in replies."""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import Field

from longshore.api.wire import NEVER, Moment, Shape, moment
from longshore.catalog import model
from longshore.catalog.additions import additions_of
from longshore.oci.descriptor import Descriptor


class Repository(Shape):
    """A repository that holds something."""

    id: int = 0
    project_id: int = 0
    name: str = ""
    description: str = ""
    artifact_count: int
    pull_count: int
    creation_time: Moment
    update_time: Moment


class Label(Shape):
    """A word that artifacts are marked with; scope ``g``: of every project, ``p``: of one."""

    id: int = 0
    name: str = ""
    description: str = ""
    color: str = ""
    scope: str = ""
    project_id: int = 0
    creation_time: Moment = NEVER
    update_time: Moment = NEVER


class Tag(Shape):
    """A tag. Its id says which one it is, and no more."""

    id: int = 0
    repository_id: int = 0
    artifact_id: int = 0
    name: str = ""
    push_time: Moment
    pull_time: Moment
    immutable: bool


class Accessory(Shape):
    """What is attached to an artifact: a signature, an SBOM."""

    id: int = 0
    artifact_id: int = 0
    subject_artifact_id: int = 0
    subject_artifact_digest: str = ""
    subject_artifact_repo: str = ""
    size: int = 0
    digest: str = ""
    type: str = ""
    icon: str = ""
    creation_time: Moment


class Reference(Shape):
    """A child of an index."""

    parent_id: int = 0
    child_id: int = 0
    child_digest: str = ""
    platform: dict[str, str] | None = None
    annotations: dict[str, str] = Field(default_factory=dict)
    urls: list[str] = Field(default_factory=list)


class AdditionLink(Shape):
    """Where more can be read about an artifact."""

    href: str = ""
    absolute: bool


class Artifact(Shape):
    """A manifest with what belongs to it."""

    id: int = 0
    type: str = ""
    media_type: str = ""
    manifest_media_type: str = ""
    artifact_type: str = ""
    project_id: int = 0
    repository_id: int = 0
    repository_name: str = ""
    digest: str = ""
    size: int = 0
    icon: str = ""
    push_time: Moment
    pull_time: Moment
    extra_attrs: dict[str, Any] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    references: list[Reference] = Field(default_factory=list)
    tags: list[Tag] | None = None
    addition_links: dict[str, AdditionLink] = Field(default_factory=dict)
    labels: list[Label] | None = None
    accessories: list[Accessory] | None = None


def repository(row: model.Repository, project: int) -> Repository:
    """``project`` is its project's id."""
    return Repository(
        id=row.id,
        project_id=project,
        name=full_name(row.name, row.project),
        description=row.description,
        artifact_count=row.artifacts,
        pull_count=row.pulls,
        creation_time=moment(row.created_at),
        update_time=moment(row.updated_at),
    )


def full_name(name: str, project: str) -> str:
    """``project/repository``, also for what clients may name without its project."""
    return name if name.startswith(f"{project}/") else f"{project}/{name}"


def label(row: model.Label) -> Label:
    return Label(
        id=row.id,
        name=row.name,
        description=row.description,
        color=row.color,
        scope="g" if row.project_id is None else "p",
        project_id=row.project_id or 0,
        creation_time=moment(row.created_at),
        update_time=moment(row.updated_at),
    )


def tag(row: model.Tag, artifact: model.Artifact) -> Tag:
    # The database knows tags by their names; clients want a number that stays.
    seen = hashlib.sha256(f"{artifact.repository_id}:{row.name}".encode()).digest()
    return Tag(
        id=int.from_bytes(seen[:6]) + 1,
        repository_id=artifact.repository_id,
        artifact_id=artifact.id,
        name=row.name,
        push_time=moment(row.pushed_at),
        pull_time=moment(row.pulled_at),
        immutable=False,
    )


def accessory(row: model.Accessory, subject: model.Artifact, name: str) -> Accessory:
    return Accessory(
        id=row.id,
        artifact_id=row.id,
        subject_artifact_id=subject.id,
        subject_artifact_digest=row.subject,
        subject_artifact_repo=name,
        size=row.size,
        digest=row.digest,
        type=row.kind,
        creation_time=moment(row.created_at),
    )


def artifact(
    row: model.Artifact,
    project: tuple[int, str],
    attributes: Mapping[str, Any] | None,
    listed: Mapping[str, Descriptor] | None,
    wanted: model.Wanted,
) -> Artifact:
    """``project`` is its id and name; ``attributes`` are what the config says, ``listed`` what an index says of
    its children, by digest."""
    name = full_name(row.repository, project[1])
    return Artifact(
        id=row.id,
        type=row.kind,
        media_type=row.artifact_type or row.media_type,
        manifest_media_type=row.media_type,
        artifact_type=row.artifact_type or row.media_type,
        project_id=project[0],
        repository_id=row.repository_id,
        repository_name=name,
        digest=row.digest,
        size=row.size,
        push_time=moment(row.pushed_at),
        pull_time=moment(row.pulled_at),
        extra_attrs=dict(attributes or {}),
        annotations=dict(row.annotations),
        references=[
            _reference(row, child, (listed or {}).get(child.digest)) for child in row.children
        ],
        tags=[tag(one, row) for one in row.tags] if wanted.tags else None,
        addition_links=_links(row, project[1], name),
        labels=[label(one) for one in row.labels] if wanted.labels else None,
        accessories=(
            [accessory(one, row, name) for one in row.accessories] if wanted.accessories else None
        ),
    )


def _reference(row: model.Artifact, child: model.Child, said: Descriptor | None) -> Reference:
    return Reference(
        parent_id=row.id,
        child_id=child.id or 0,
        child_digest=child.digest,
        platform=said.platform.to_json() if said and said.platform else None,
        annotations=dict(said.annotations) if said else {},
        urls=list(said.urls) if said else [],
    )


def _links(row: model.Artifact, project: str, name: str) -> dict[str, AdditionLink]:
    below = quote(quote(name.removeprefix(f"{project}/"), safe=""), safe="")
    base = f"/api/v2.0/projects/{project}/repositories/{below}/artifacts/{row.digest}/additions"
    names = [*additions_of(row), *(["vulnerabilities"] if row.kind == "IMAGE" else [])]
    return {one: AdditionLink(href=f"{base}/{one}", absolute=False) for one in names}
