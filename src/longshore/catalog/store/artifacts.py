"""Artifacts, as lists show them: a fixed number of questions for each page."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    exists,
    func,
    select,
    true,
)

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
from longshore.catalog.store.shown import Inside, inside_of, is_shown
from longshore.catalog.tables import artifact_details, artifact_labels, labels, tag_pulls
from longshore.db.listing import (
    AllOf,
    Condition,
    Containing,
    Exactly,
    Large,
    Listing,
    OneOf,
    UnusableValue,
    any_of,
    read_page,
)
from longshore.identity.store.projects import readable_in
from longshore.oci import mediatypes
from longshore.registry.tables import IS_CHILD, manifest_references, manifests, repositories, tags

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
    # Each has one; of an outer join planners know that lists of ids need no look at it.
    .join_from(
        manifests, repositories, repositories.c.id == manifests.c.repository_id, isouter=True
    )
    .outerjoin(artifact_details, artifact_details.c.manifest_id == manifests.c.id)
)
_OWN_TAG: ColumnElement[bool] = (tags.c.repository_id == manifests.c.repository_id) & (
    tags.c.digest == manifests.c.digest
)
_IS_LISTED: Final = (
    manifest_references.c.digest == manifests.c.digest,
    manifest_references.c.repository_id == manifests.c.repository_id,
    IS_CHILD,
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
    inside = inside_of(connection, repository, project)
    own_tag = and_(_OWN_TAG, inside(tags.c.repository_id))
    query = _ARTIFACT.where(
        inside(manifests.c.repository_id),
        manifests.c.subject.is_(None),
        is_shown(connection, inside, parts=listing.conditions.get("base") == Exactly("*")),
    )
    if reader is not None:
        query = query.where(readable_in(connection, reader.view, listable=reader.listable))
    for name, condition in listing.conditions.items():
        if name == "tags":
            query = query.where(_has_tags(condition, own_tag))
            if repository is not None and isinstance(condition, Exactly):
                query = query.where(_is_at(condition.value, inside))
        elif name == "labels":
            query = query.where(_has_labels(condition))
        elif name == "type":
            query = query.where(_is_of(condition))
    if latest:
        query = _newest_of_each(query, listing, inside)
    large = Large(_ARTIFACT, manifests.c.id)
    rows, total = read_page(connection, query, _COLUMNS, listing, _NEWEST, large)
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
    query = _tags(connection, [artifact.id])
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
    query = select(exists().where(manifests.c.id == artifact, exists().where(*_IS_LISTED)))
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
        any_of(connection, manifest_references.c.manifest_id, artifacts),
        manifest_references.c.position == 0,
        manifest_references.c.kind == "blob",
    )
    return {row.manifest_id: (row.digest, row.size) for row in connection.execute(query)}


def _complete(connection: Connection, rows: Sequence[Any], wanted: Wanted) -> list[Artifact]:
    found = [Artifact(**{**row._mapping, "annotations": row.annotations or {}}) for row in rows]
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
        .where(
            any_of(connection, manifest_references.c.manifest_id, sizes),
            manifest_references.c.kind == "blob",
        )
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
                any_of(connection, manifest_references.c.manifest_id, indexes),
                manifest_references.c.kind == "child",
            )
            .order_by(manifest_references.c.position)
        )
        for row in connection.execute(query):
            children[row.manifest_id].append(Child(row.id, row.digest))
            if row.id is not None:
                sizes[row.manifest_id] += int(row.size)
    return sizes, children


def _tags(connection: Connection, artifacts: Sequence[int]) -> Select[Any]:
    return (
        select(
            tags.c.repository_id,
            tags.c.name,
            tags.c.digest,
            tags.c.updated_at,
            tag_pulls.c.pulled_at,
        )
        .join_from(manifests, tags, _OWN_TAG)
        .outerjoin(
            tag_pulls,
            (tag_pulls.c.repository_id == tags.c.repository_id) & (tag_pulls.c.name == tags.c.name),
        )
        .where(any_of(connection, manifests.c.id, artifacts))
    )


def _tags_of(connection: Connection, found: Sequence[Artifact]) -> dict[tuple[int, str], list[Tag]]:
    query = _tags(connection, [one.id for one in found])
    named: dict[tuple[int, str], list[Tag]] = defaultdict(list)
    for row in connection.execute(query.order_by(tags.c.updated_at.desc(), tags.c.name)):
        tag = Tag(row.name, row.digest, row.updated_at, row.pulled_at)
        named[row.repository_id, row.digest].append(tag)
    return named


def _labels_of(connection: Connection, ids: Sequence[int]) -> dict[int, list[Label]]:
    query = (
        select(artifact_labels.c.manifest_id, labels)
        .join(labels, labels.c.id == artifact_labels.c.label_id)
        .where(any_of(connection, artifact_labels.c.manifest_id, ids))
        .order_by(labels.c.name)
    )
    found: dict[int, list[Label]] = defaultdict(list)
    for row in connection.execute(query):
        values = row._mapping
        found[row.manifest_id].append(Label(**{name: values[name] for name in Label.__slots__}))
    return found


def _accessories(connection: Connection, found: Sequence[Artifact]) -> dict[int, list[Accessory]]:
    """What names an artifact as its subject, and cosign's tags of the form sha256-<hex>.sig."""
    of = manifests.alias("of")
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
    whose = (of.c.id.label("subject_id"), of.c.digest.label("subject"))
    wanted = any_of(connection, of.c.id, [one.id for one in found])
    of_subject = (
        select(*columns, *whose)
        .join_from(of, manifests, manifests.c.repository_id == of.c.repository_id)
        .where(wanted, manifests.c.subject == of.c.digest)
    )
    for row in connection.execute(of_subject):
        attached[row.subject_id].append(_accessory(row))
    by_tag = (
        select(*columns, *whose, tags.c.name)
        .join_from(of, tags, tags.c.repository_id == of.c.repository_id)
        .join(manifests, _OWN_TAG)
        .where(wanted, tags.c.name == func.replace(of.c.digest, ":", "-").concat(".sig"))
    )
    for signature in connection.execute(by_tag):
        attached[signature.subject_id].append(_accessory(signature, signature.name))
    for several in attached.values():
        several.sort(key=lambda one: (-one.created_at, one.id))
    return attached


def _accessory(row: Any, tag: str = "") -> Accessory:
    kind = accessory_kind(row.artifact_type, tag)
    size = int(row.size)
    return Accessory(row.id, row.digest, size, kind, row.subject, row.subject_id, row.pushed_at)


def _has_tags(condition: Condition, own_tag: ColumnElement[bool]) -> ColumnElement[bool]:
    match condition:
        case Exactly("*"):
            return exists().where(own_tag)
        case Exactly("nil"):
            return ~exists().where(own_tag)
        case Exactly(name):
            return exists().where(own_tag, tags.c.name == name)
        case Containing(part):
            return exists().where(own_tag, tags.c.name.icontains(part, autoescape=True))
        case OneOf(names):
            return exists().where(own_tag, tags.c.name.in_(names))
        case _:
            raise UnusableValue("tags is a name, ~part, *, nil or {a b}")


def _is_at(name: str, inside: Inside) -> ColumnElement[bool]:
    """Whether it may be what a tag points to: says to the planner that this is at most one."""
    if name in ("*", "nil"):
        return true()
    target = select(tags.c.digest).where(inside(tags.c.repository_id), tags.c.name == name)
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


def _newest_of_each(query: Select[Any], listing: Listing, inside: Inside) -> Select[Any]:
    """Of each repository the artifact that was pushed last, among those of the wanted type."""
    newest, of = manifests.alias("newest"), repositories.alias("of")
    same = [newest.c.repository_id == of.c.id, newest.c.subject.is_(None)]
    for name in ("media_type", "artifact_type"):
        condition = listing.conditions.get(name)
        if isinstance(condition, Exactly):
            column: ColumnElement[Any] = newest.c.artifact_type
            if name == "media_type":
                column = func.coalesce(newest.c.artifact_type, newest.c.media_type)
            same.append(column.in_([condition.value]))
    last = (
        select(newest.c.id)
        .where(*same)
        .order_by(newest.c.pushed_at.desc(), newest.c.id.desc())
        .limit(1)
        .correlate(of)
    )
    return query.where(manifests.c.id.in_(select(last.scalar_subquery()).where(inside(of.c.id))))
