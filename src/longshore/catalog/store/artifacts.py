"""Artifacts, as lists show them: a fixed number of questions for each page."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, case, exists, func, or_, select, true

from longshore.catalog.model import (
    Accessory,
    Artifact,
    Child,
    Label,
    Reader,
    Tag,
    Wanted,
    accessory_kind,
)
from longshore.catalog.tables import artifact_details, artifact_labels, labels, tag_pulls
from longshore.db.listing import (
    TOTAL,
    AllOf,
    Condition,
    Containing,
    Exactly,
    Listing,
    OneOf,
    UnusableValue,
    read_page,
)
from longshore.identity.store.projects import readable_in
from longshore.oci import mediatypes
from longshore.registry.tables import manifest_references, manifests, repositories, tags

_SIGNATURE: Final = "sha256-%.sig"
_ARTIFACT: Select[Any] = (
    select(
        manifests.c.id,
        manifests.c.repository_id,
        repositories.c.name.label("repository"),
        manifests.c.digest,
        manifests.c.media_type,
        manifests.c.artifact_type,
        manifests.c.size,
        manifests.c.subject,
        manifests.c.annotations,
        manifests.c.pushed_at,
        artifact_details.c.pulled_at,
        artifact_details.c.extra,
    )
    .join_from(manifests, repositories, repositories.c.id == manifests.c.repository_id)
    .outerjoin(artifact_details, artifact_details.c.manifest_id == manifests.c.id)
)
_OWN_TAG: ColumnElement[bool] = (tags.c.repository_id == manifests.c.repository_id) & (
    tags.c.digest == manifests.c.digest
)
_IS_CHILD: ColumnElement[bool] = exists().where(
    manifest_references.c.digest == manifests.c.digest,
    manifest_references.c.repository_id == manifests.c.repository_id,
    manifest_references.c.kind == "child",
)
_IS_ACCESSORY: ColumnElement[bool] = or_(
    manifests.c.subject.is_not(None), exists().where(_OWN_TAG, tags.c.name.like(_SIGNATURE))
)
_COLUMNS: Final[Mapping[str, ColumnElement[Any]]] = {
    "id": manifests.c.id,
    "digest": manifests.c.digest,
    "media_type": func.coalesce(manifests.c.artifact_type, manifests.c.media_type),
    "manifest_media_type": manifests.c.media_type,
    "artifact_type": manifests.c.artifact_type,
    "push_time": manifests.c.pushed_at,
    "pull_time": artifact_details.c.pulled_at,
    "size": manifests.c.size,
    "repository_name": repositories.c.name,
    "repository_id": manifests.c.repository_id,
}
_NEWEST: Final = (manifests.c.pushed_at.desc(), manifests.c.id.desc())


def page_of_artifacts(
    connection: Connection,
    listing: Listing,
    wanted: Wanted,
    *,
    repository: str | None = None,
    project: str | None = None,
    latest: bool = False,
    reader: Reader | None = None,
) -> tuple[list[Artifact], int]:
    """A page of the artifacts of one repository or of one project, newest push first unless the listing
    says otherwise, and how many there are; only of what ``reader`` may pull. ``latest``: only the newest of each repository. What is attached to
    another artifact is left out, and what an index lists and no tag names unless ``base`` is
    ``*``. Raises UnusableValue."""
    query = _ARTIFACT.where(~_IS_ACCESSORY)
    if repository is not None:
        query = query.where(repositories.c.name == repository)
    if project is not None:
        query = query.where(repositories.c.namespace == project)
    if reader is not None:
        query = query.where(readable_in(connection, reader.view, listable=reader.listable))
    if listing.conditions.get("base") != Exactly("*"):
        query = query.where(or_(~_IS_CHILD, exists().where(_OWN_TAG)))
    for name, condition in listing.conditions.items():
        if name == "tags":
            query = query.where(_has_tags(condition))
            if repository is not None and isinstance(condition, Exactly):
                query = query.where(_is_at(condition.value, repository))
        elif name == "labels":
            query = query.where(_has_labels(condition))
        elif name == "type":
            query = query.where(_is_of(condition))
    if latest:
        query = _newest_of_each(query, listing)
    rows, total = read_page(connection, query, _COLUMNS, listing, _NEWEST, once=True)
    return _complete(connection, rows, wanted), total


def find_artifact(
    connection: Connection, repository: str, reference: str, wanted: Wanted
) -> Artifact | None:
    """By tag, or by digest when ``reference`` holds a colon."""
    query = _ARTIFACT.where(repositories.c.name == repository)
    if ":" in reference:
        query = query.where(manifests.c.digest == reference)
    else:
        query = query.join(tags, _OWN_TAG).where(tags.c.name == reference)
    rows = connection.execute(query).all()
    found = _complete(connection, rows, wanted)
    return found[0] if found else None


def page_of_tags(
    connection: Connection, artifact: Artifact, listing: Listing
) -> tuple[list[Tag], int]:
    """A page of an artifact's tags, newest push first unless the listing says otherwise, and how many
    there are. Raises UnusableValue."""
    query = _tags([artifact.digest], [artifact.repository_id])
    columns = {
        "name": tags.c.name,
        "push_time": tags.c.updated_at,
        "pull_time": tag_pulls.c.pulled_at,
    }
    default = [tags.c.updated_at.desc(), tags.c.name]
    rows, total = read_page(connection, query, columns, listing, default)
    return [Tag(row.name, row.digest, row.updated_at, row.pulled_at) for row in rows], total


def page_of_accessories(
    connection: Connection, artifact: Artifact, listing: Listing
) -> tuple[list[Accessory], int]:
    """A page of what is attached to an artifact, newest first, and how many there are."""
    found = _accessories(connection, [artifact]).get(artifact.id, [])
    for name, condition in listing.conditions.items():
        if name in ("type", "digest"):
            field = "kind" if name == "type" else name
            found = [one for one in found if _fits(getattr(one, field), condition)]
    end = None if listing.limit is None else listing.offset + listing.limit
    return found[listing.offset : end], len(found)


def _fits(value: str, condition: Condition) -> bool:
    match condition:
        case Exactly(wanted):
            return value == wanted
        case Containing(part):
            return part.lower() in value.lower()
        case OneOf(values) | AllOf(values):
            return value in values
        case _:
            raise UnusableValue("text has no range: write field=value or field=~part")


def is_child(connection: Connection, artifact: int) -> bool:
    """Whether an index of the same repository lists it."""
    query = select(exists().where(manifests.c.id == artifact, _IS_CHILD))
    return bool(connection.scalar(query))


def dependents(connection: Connection, repository: int, digest: str) -> list[str]:
    """What goes along when an artifact goes: what is attached to it, and what only it lists and no tag
    names; each with its own. The artifact itself comes last."""
    ordered: dict[str, None] = {}
    waiting = [digest]
    while waiting:
        current = waiting.pop()
        if current in ordered:
            continue
        ordered[current] = None
        signature = f"{current.replace(':', '-')}.sig"
        attached = select(manifests.c.digest).where(
            manifests.c.repository_id == repository, manifests.c.subject == current
        )
        signed = select(tags.c.digest).where(
            tags.c.repository_id == repository, tags.c.name == signature
        )
        parent = select(manifests.c.id).where(
            manifests.c.repository_id == repository, manifests.c.digest == current
        )
        others = manifest_references.alias()
        listed = select(manifest_references.c.digest).where(
            manifest_references.c.manifest_id.in_(parent),
            manifest_references.c.kind == "child",
            ~exists().where(
                others.c.digest == manifest_references.c.digest,
                others.c.repository_id == repository,
                others.c.kind == "child",
                others.c.manifest_id.not_in(parent),
            ),
            ~exists().where(
                tags.c.repository_id == repository,
                tags.c.digest == manifest_references.c.digest,
            ),
        )
        for query in (attached, signed, listed):
            waiting.extend(connection.scalars(query))
    found = list(ordered)
    return [*reversed(found[1:]), found[0]]


def digests_of(connection: Connection, repository: int, limit: int | None) -> list[str]:
    """What a repository holds; at most ``limit``."""
    query = select(manifests.c.digest).where(manifests.c.repository_id == repository).limit(limit)
    return list(connection.scalars(query))


def config_digests(connection: Connection, artifacts: Sequence[int]) -> dict[int, tuple[str, int]]:
    """Artifact -> digest and size of the first blob that it refers to, which is an image's configuration."""
    query = select(
        manifest_references.c.manifest_id,
        manifest_references.c.digest,
        manifest_references.c.size,
    ).where(
        manifest_references.c.manifest_id.in_(artifacts),
        manifest_references.c.position == 0,
        manifest_references.c.kind == "blob",
    )
    return {row.manifest_id: (row.digest, row.size) for row in connection.execute(query)}


def _complete(connection: Connection, rows: Sequence[Any], wanted: Wanted) -> list[Artifact]:
    found = [
        Artifact(
            **{
                **{name: value for name, value in row._mapping.items() if name != TOTAL},
                "annotations": row.annotations or {},
            }
        )
        for row in rows
    ]
    if not found:
        return []
    ids = [one.id for one in found]
    sizes, children = _contents(connection, found)
    configs = config_digests(connection, ids)
    named = _tags_of(connection, found) if wanted.tags else {}
    marked = _labels_of(connection, ids) if wanted.labels else {}
    attached = _accessories(connection, found) if wanted.accessories else {}
    return [
        Artifact(
            **{
                **{name: getattr(one, name) for name in Artifact.__slots__},
                "size": sizes[one.id],
                "children": children.get(one.id, ()),
                "config": configs.get(one.id, ("", 0))[0] or None,
                "tags": named.get((one.repository_id, one.digest), ()),
                "labels": marked.get(one.id, ()),
                "accessories": attached.get(one.id, ()),
            }
        )
        for one in found
    ]


def _contents(
    connection: Connection, found: Sequence[Artifact]
) -> tuple[dict[int, int], dict[int, list[Child]]]:
    """Whole sizes, and what indexes list."""
    # An index weighs what it lists, as Harbor counts.
    sizes = {one.id: 0 if one.media_type in mediatypes.INDEXES else one.size for one in found}
    blobs = (
        select(manifest_references.c.manifest_id, func.sum(manifest_references.c.size))
        .where(manifest_references.c.manifest_id.in_(sizes), manifest_references.c.kind == "blob")
        .group_by(manifest_references.c.manifest_id)
    )
    for id, size in connection.execute(blobs):
        sizes[id] += int(size)
    indexes = [one.id for one in found if one.media_type in mediatypes.INDEXES]
    children: dict[int, list[Child]] = defaultdict(list)
    if indexes:
        within = manifest_references.alias()
        inside = (
            select(func.coalesce(func.sum(within.c.size), 0))
            .where(within.c.manifest_id == manifests.c.id, within.c.kind == "blob")
            .correlate(manifests)
            .scalar_subquery()
        )
        query = (
            select(
                manifest_references.c.manifest_id,
                manifest_references.c.digest,
                manifests.c.id,
                (manifest_references.c.size + func.coalesce(inside, 0)).label("size"),
            )
            .outerjoin(
                manifests,
                (manifests.c.repository_id == manifest_references.c.repository_id)
                & (manifests.c.digest == manifest_references.c.digest),
            )
            .where(
                manifest_references.c.manifest_id.in_(indexes),
                manifest_references.c.kind == "child",
            )
            .order_by(manifest_references.c.position)
        )
        for row in connection.execute(query):
            children[row.manifest_id].append(Child(row.id, row.digest))
            if row.id is not None:
                sizes[row.manifest_id] += int(row.size)
    return sizes, children


def _tags(digests: Sequence[str], repository_ids: Sequence[int]) -> Select[Any]:
    return (
        select(
            tags.c.repository_id,
            tags.c.name,
            tags.c.digest,
            tags.c.updated_at,
            tag_pulls.c.pulled_at,
        )
        .outerjoin(
            tag_pulls,
            (tag_pulls.c.repository_id == tags.c.repository_id) & (tag_pulls.c.name == tags.c.name),
        )
        .where(tags.c.repository_id.in_(repository_ids), tags.c.digest.in_(digests))
    )


def _tags_of(connection: Connection, found: Sequence[Artifact]) -> dict[tuple[int, str], list[Tag]]:
    repository_ids = sorted({one.repository_id for one in found})
    query = _tags([one.digest for one in found], repository_ids)
    named: dict[tuple[int, str], list[Tag]] = defaultdict(list)
    for row in connection.execute(query.order_by(tags.c.updated_at.desc(), tags.c.name)):
        tag = Tag(row.name, row.digest, row.updated_at, row.pulled_at)
        named[row.repository_id, row.digest].append(tag)
    return named


def _labels_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[Label]]:
    query = (
        select(artifact_labels.c.manifest_id, labels)
        .join(labels, labels.c.id == artifact_labels.c.label_id)
        .where(artifact_labels.c.manifest_id.in_(ids))
        .order_by(labels.c.name)
    )
    found: dict[int, list[Label]] = defaultdict(list)
    for row in connection.execute(query):
        values = row._mapping
        found[row.manifest_id].append(Label(**{name: values[name] for name in Label.__slots__}))
    return found


def _accessories(connection: Connection, found: Sequence[Artifact]) -> dict[int, list[Accessory]]:
    """What names an artifact as its subject, and cosign's tags of the form sha256-<hex>.sig."""
    own = {(one.repository_id, one.digest): one.id for one in found}
    repository_ids = sorted({one.repository_id for one in found})
    digests = [one.digest for one in found]
    attached: dict[int, list[Accessory]] = defaultdict(list)
    size = (
        select(func.coalesce(func.sum(manifest_references.c.size), 0))
        .where(
            manifest_references.c.manifest_id == manifests.c.id,
            manifest_references.c.kind == "blob",
        )
        .correlate(manifests)
        .scalar_subquery()
    )
    columns = (
        manifests.c.id,
        manifests.c.repository_id,
        manifests.c.digest,
        (manifests.c.size + size).label("size"),
        manifests.c.artifact_type,
        manifests.c.pushed_at,
    )
    of_subject = select(*columns, manifests.c.subject).where(
        manifests.c.repository_id.in_(repository_ids), manifests.c.subject.in_(digests)
    )
    for row in connection.execute(of_subject):
        subject = own.get((row.repository_id, row.subject))
        if subject is not None:
            attached[subject].append(_accessory(row, row.subject, subject, ""))
    names = {f"{digest.replace(':', '-')}.sig": digest for digest in digests}
    by_tag = (
        select(*columns, tags.c.name)
        .join(tags, _OWN_TAG)
        .where(tags.c.repository_id.in_(repository_ids), tags.c.name.in_(names))
    )
    for row in connection.execute(by_tag):
        subject = own.get((row.repository_id, names[row.name]))
        if subject is not None:
            attached[subject].append(_accessory(row, names[row.name], subject, row.name))
    for several in attached.values():
        several.sort(key=lambda one: (-one.created_at, one.id))
    return attached


def _accessory(row: Any, subject: str, subject_id: int, tag: str) -> Accessory:
    kind = accessory_kind(row.artifact_type, tag)
    return Accessory(row.id, row.digest, int(row.size), kind, subject, subject_id, row.pushed_at)


def _has_tags(condition: Condition) -> ColumnElement[bool]:
    match condition:
        case Exactly("*"):
            return exists().where(_OWN_TAG)
        case Exactly("nil"):
            return ~exists().where(_OWN_TAG)
        case Exactly(name):
            return exists().where(_OWN_TAG, tags.c.name == name)
        case Containing(part):
            return exists().where(_OWN_TAG, tags.c.name.icontains(part, autoescape=True))
        case OneOf(names):
            return exists().where(_OWN_TAG, tags.c.name.in_(names))
        case _:
            raise UnusableValue("tags is a name, ~part, *, nil or {a b}")


def _is_at(name: str, repository: str) -> ColumnElement[bool]:
    """Whether it may be what a tag points to: says to the planner that this is at most one."""
    if name in ("*", "nil"):
        return true()
    target = (
        select(tags.c.digest)
        .join(repositories, repositories.c.id == tags.c.repository_id)
        .where(repositories.c.name == repository, tags.c.name == name)
    )
    return manifests.c.digest == target.scalar_subquery()


def _has_labels(condition: Condition) -> ColumnElement[bool]:
    match condition:
        case Exactly(value):
            ids: tuple[str, ...] = (value,)
        case AllOf(values) | OneOf(values):
            ids = values
        case _:
            raise UnusableValue("labels is an id or (1 2)")
    try:
        numbers = [int(id[:18]) for id in ids]
    except ValueError as error:
        raise UnusableValue(f"labels are numbers, not {' '.join(ids)[:100]!r}") from error
    own = artifact_labels.c.manifest_id == manifests.c.id
    if isinstance(condition, OneOf):
        return exists().where(own, artifact_labels.c.label_id.in_(numbers))
    found = exists().where(own, artifact_labels.c.label_id == numbers[0])
    result: ColumnElement[bool] = found
    for number in numbers[1:]:
        result = result & exists().where(own, artifact_labels.c.label_id == number)
    return result


def _is_of(condition: Condition) -> ColumnElement[bool]:
    """What :func:`longshore.catalog.model.kind_of` says, for the kinds that people filter by."""
    if not isinstance(condition, Exactly):
        raise UnusableValue("type is one word, such as IMAGE")
    kind = case(
        (manifests.c.media_type.in_(mediatypes.INDEXES), "IMAGE"),
        (
            manifests.c.artifact_type.in_(
                (
                    "application/vnd.oci.image.config.v1+json",
                    "application/vnd.docker.container.image.v1+json",
                )
            ),
            "IMAGE",
        ),
        (manifests.c.artifact_type == "application/vnd.cncf.helm.config.v1+json", "CHART"),
        (manifests.c.artifact_type == "application/vnd.cnab.manifest.v1", "CNAB"),
        (manifests.c.artifact_type == "application/vnd.wasm.config.v1+json", "WASM"),
        (manifests.c.artifact_type == "application/vnd.goharbor.harbor.sbom.v1", "SBOM"),
        else_="UNKNOWN",
    )
    return kind.in_([condition.value.upper()])


def _newest_of_each(query: Select[Any], listing: Listing) -> Select[Any]:
    """Of each repository the artifact that was pushed last, among those of the wanted type."""
    newer = manifests.alias()
    same = [newer.c.repository_id == manifests.c.repository_id, newer.c.subject.is_(None)]
    for name in ("media_type", "artifact_type"):
        condition = listing.conditions.get(name)
        if isinstance(condition, Exactly):
            column: ColumnElement[Any] = newer.c.artifact_type
            if name == "media_type":
                column = func.coalesce(newer.c.artifact_type, newer.c.media_type)
            same.append(column.in_([condition.value]))
    later = or_(
        newer.c.pushed_at > manifests.c.pushed_at,
        (newer.c.pushed_at == manifests.c.pushed_at) & (newer.c.id > manifests.c.id),
    )
    return query.where(~exists().where(*same, later))
