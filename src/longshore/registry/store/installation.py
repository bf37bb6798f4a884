"""What the installation remembers of itself."""

from typing import Any, Final

from sqlalchemy import Connection, select, update

from longshore.registry.model import AdoptionState
from longshore.registry.store.statements import insert_if_absent
from longshore.registry.tables import settings

_ADOPTION: Final = "adoption"


def remembered(connection: Connection, name: str, otherwise: Any) -> Any:
    """The value kept under ``name``; ``otherwise`` is kept and returned the first time."""
    insert_if_absent(connection, settings, {"name": name, "value": otherwise})
    return connection.scalar(select(settings.c.value).where(settings.c.name == name))


def adoption_state(connection: Connection, *, lock: bool = False) -> AdoptionState:
    """How far an adoption is; with ``lock`` it stays there until the transaction ends."""
    query = select(settings.c.value).where(settings.c.name == _ADOPTION)
    found = connection.scalar(query.with_for_update() if lock else query)
    return AdoptionState.NOT_STARTED if found is None else AdoptionState(found)


def set_adoption_state(connection: Connection, state: AdoptionState) -> None:
    if not insert_if_absent(connection, settings, {"name": _ADOPTION, "value": state.value}):
        connection.execute(
            update(settings).where(settings.c.name == _ADOPTION).values(value=state.value)
        )
