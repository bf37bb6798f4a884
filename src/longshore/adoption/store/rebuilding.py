"""Taking away what the rows say of images, so that storage says it anew."""

from sqlalchemy import Connection, delete, exists, func, select

from longshore.adoption.store.given import forget_given_tags
from longshore.adoption.tables import adoption_troubles, linked_repositories
from longshore.registry import store
from longshore.registry.model import AdoptionState
from longshore.registry.tables import (
    blobs,
    manifest_references,
    manifests,
    repositories,
    repository_blobs,
    tags,
)


def count_repositories(connection: Connection) -> int:
    """Repositories that hold a manifest."""
    holds_one = exists().where(manifests.c.repository_id == repositories.c.id)
    return connection.scalar(select(func.count()).where(holds_one).select_from(repositories)) or 0


def forget_images(connection: Connection) -> None:
    """Remove manifests, tags and links, and all that is remembered of storage. Repositories stay,
    with what else belongs to them, and so does the history of tags."""
    for table in (
        manifest_references,
        manifests,
        tags,
        repository_blobs,
        blobs,
        linked_repositories,
        adoption_troubles,
    ):
        connection.execute(delete(table))
    forget_given_tags(connection)
    store.set_adoption_state(connection, AdoptionState.NOT_STARTED)
