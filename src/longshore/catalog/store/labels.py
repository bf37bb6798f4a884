"""Labels, and what they are on."""

from typing import Any

from sqlalchemy import Connection, Select, delete, exists, select, update

from longshore.catalog.model import Label
from longshore.catalog.tables import artifact_labels, labels
from longshore.db.listing import Listing, read_page
from longshore.identity.errors import Missing, Taken
from longshore.registry.store.statements import insert_if_absent

_LABEL: Select[Any] = select(*[labels.c[name] for name in Label.__slots__])


def add_label(
    connection: Connection,
    name: str,
    project: int | None,
    now: float,
    *,
    description: str = "",
    color: str = "",
) -> int:
    """The new label's id. Raises Taken when the project, or everybody, has one of that name."""
    row = {
        "owner": project or 0,
        "project_id": project,
        "name": name,
        "description": description,
        "color": color,
        "created_at": now,
        "updated_at": now,
    }
    if not insert_if_absent(connection, labels, row):
        raise Taken(f"there is a label {name!r} already")
    found: int | None = connection.scalar(
        select(labels.c.id).where(labels.c.owner == (project or 0), labels.c.name == name)
    )
    if found is None:
        raise Missing(f"the label {name!r} has gone again")
    return found


def page_of_labels(
    connection: Connection, listing: Listing, project: int | None
) -> tuple[list[Label], int]:
    """A page of a project's labels, or of everybody's, by name, and how many there are. Raises
    UnusableValue."""
    query = _LABEL.where(labels.c.owner == (project or 0))
    columns = {"name": labels.c.name, "id": labels.c.id, "creation_time": labels.c.created_at}
    rows, total = read_page(connection, query, columns, listing, [labels.c.name, labels.c.id])
    return [Label(**row._mapping) for row in rows], total


def find_label(connection: Connection, id: int) -> Label | None:
    row = connection.execute(_LABEL.where(labels.c.id == id)).one_or_none()
    return None if row is None else Label(**row._mapping)


def change_label(
    connection: Connection, id: int, name: str, description: str, color: str, now: float
) -> None:
    """Raises Missing; Taken for a name that another one has."""
    found = find_label(connection, id)
    if found is None:
        raise _unknown(id)
    others = exists().where(
        labels.c.owner == (found.project_id or 0), labels.c.name == name, labels.c.id != id
    )
    if connection.scalar(select(others)):
        raise Taken(f"there is a label {name!r} already")
    values = {"name": name, "description": description, "color": color, "updated_at": now}
    connection.execute(update(labels).where(labels.c.id == id).values(**values))


def remove_label(connection: Connection, id: int) -> None:
    """Also from what it is on. Raises Missing."""
    gone = connection.execute(delete(labels).where(labels.c.id == id).returning(labels.c.id))
    if gone.first() is None:
        raise _unknown(id)


def put_on(connection: Connection, label: int, artifact: int) -> None:
    """Raises Taken when it is on it already."""
    row = {"manifest_id": artifact, "label_id": label}
    if not insert_if_absent(connection, artifact_labels, row):
        raise Taken(f"the label {label} is on the artifact already")


def take_off(connection: Connection, label: int, artifact: int) -> None:
    """Raises Missing when it is not on it."""
    gone = connection.execute(
        delete(artifact_labels)
        .where(artifact_labels.c.manifest_id == artifact, artifact_labels.c.label_id == label)
        .returning(artifact_labels.c.label_id)
    )
    if gone.first() is None:
        raise Missing(f"the label {label} is not on the artifact")


def _unknown(id: int) -> Missing:
    return Missing(f"there is no label with the id {id}")
