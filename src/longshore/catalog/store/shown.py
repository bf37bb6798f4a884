"""Which artifacts lists leave out: those that only an index lists, and signatures as cosign tags them.

Both are sets of manifests that are made once, however many rows are compared with them: of conditions on each row the
planner of PostgreSQL makes loops in loops as soon as it takes the sets to be small, and they take a second where there
are ten thousand artifacts.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, exists, or_, select

from longshore.db.listing import none_of
from longshore.registry.tables import IS_CHILD, manifest_references, manifests, repositories, tags

_SIGNATURE: Final = "sha256-%.sig"
#: Repositories of a project that a query names one by one.
_NAMED: Final = 1000
#: Hidden manifests that are fetched, rather than asked for in the query.
_FEW: Final = 2000
_CHILD: Final = manifests.alias("child")
_TAGGED: Final = exists().where(
    tags.c.repository_id == _CHILD.c.repository_id, tags.c.digest == _CHILD.c.digest
)
Inside = Callable[[ColumnElement[int]], ColumnElement[bool]]
"""Says whether a repository's id is one of those that a list is about."""


def inside_of(connection: Connection, repository: str | None, project: str | None) -> Inside:
    """Those of one repository, or of one project."""
    if repository is not None:
        condition = repositories.c.name == repository
    else:
        condition = repositories.c.namespace == project
    query = select(repositories.c.id).where(condition)
    ids = connection.scalars(query.limit(_NAMED + 1)).all()
    return inside_some(ids) if len(ids) <= _NAMED else lambda column: column.in_(query)


def inside_some(ids: Sequence[int]) -> Inside:
    """Those with these ids. They are written into the query, where planners see how much they hold: what is right for a
    repository with ten artifacts takes minutes in one with a hundred thousand."""
    if len(ids) == 1:
        one: Any = bindparam("repository", ids[0], literal_execute=True)
        return lambda column: column == one
    several: Any = bindparam("repositories", ids, expanding=True, literal_execute=True)
    return lambda column: column.in_(several)


def is_shown(connection: Connection, inside: Inside, *, parts: bool) -> ColumnElement[bool]:
    """Whether the manifest of a row is no signature and, unless ``parts`` are wanted, none that only an index lists.
    Of a row whose ``subject`` is null."""
    signatures = _signatures(inside)
    hidden = signatures if parts else signatures.union_all(_parts(inside, ~_TAGGED))
    ids = connection.scalars(hidden.limit(_FEW + 1)).all()
    if len(ids) <= _FEW:
        # A page and its total ask for the same set.
        return none_of(connection, manifests.c.id, ids)
    found = not_signatures(inside)
    return found if parts else and_(found, not_parts(inside))


def not_signatures(inside: Inside) -> ColumnElement[bool]:
    """Whether the manifest of a row is none that cosign tagged as the signature of another one."""
    return manifests.c.id.not_in(_signatures(inside))


def not_parts(inside: Inside) -> ColumnElement[bool]:
    """Whether the manifest of a row is listed by no index, or a tag names it."""
    tagged = exists().where(
        tags.c.repository_id == manifests.c.repository_id, tags.c.digest == manifests.c.digest
    )
    return or_(manifests.c.id.not_in(_parts(inside)), tagged)


def _signatures(inside: Inside) -> Select[Any]:
    signature = manifests.alias("signature")
    return (
        select(signature.c.id)
        .join_from(tags, signature, signature.c.repository_id == tags.c.repository_id)
        .where(
            inside(tags.c.repository_id),
            tags.c.name.like(_SIGNATURE),
            signature.c.digest == tags.c.digest,
        )
    )


def _parts(inside: Inside, *conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        select(_CHILD.c.id)
        .join_from(
            manifest_references,
            _CHILD,
            (_CHILD.c.repository_id == manifest_references.c.repository_id)
            & (_CHILD.c.digest == manifest_references.c.digest),
        )
        .where(inside(manifest_references.c.repository_id), IS_CHILD, *conditions)
    )
