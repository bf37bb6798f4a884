"""Second factors and recovery codes. The secrets come encrypted, the codes as hashes."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from longshore.identity.errors import Missing, Taken
from longshore.identity.model import SecondFactor
from longshore.identity.store.users import end_proofs
from longshore.identity.tables import recovery_codes, second_factors, users
from longshore.telemetry import clock

#: Before the first step that there is.
_NO_STEP: Final = -1


def find_second_factor(
    connection: Connection, user_id: int, *, hold: bool = False
) -> SecondFactor | None:
    """That of a user, confirmed or not. ``hold``: nobody else looks at it with ``hold`` before this
    transaction ends."""
    query = select(second_factors).where(second_factors.c.user_id == user_id)
    row = connection.execute(query.with_for_update() if hold else query).one_or_none()
    return None if row is None else SecondFactor(**row._mapping)


def begin_second_factor(connection: Connection, user_id: int, secret: str) -> None:
    """Give a user one that does not count yet, instead of one that was not confirmed. Raises Taken when
    theirs was."""
    # Those who begin at the same time wait for each other here.
    connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update())
    found = find_second_factor(connection, user_id, hold=True)
    if found is not None and found.confirmed_at is not None:
        raise Taken("there is a second factor already: remove it to begin with another")
    connection.execute(delete(second_factors).where(second_factors.c.user_id == user_id))
    row = {
        "user_id": user_id,
        "secret": secret,
        "last_step": _NO_STEP,
        "created_at": clock.timestamp(),
        "confirmed_at": None,
    }
    connection.execute(insert(second_factors).values(row))


def confirm_second_factor(connection: Connection, user_id: int, hashes: Iterable[str]) -> None:
    """From now on it counts, ``hashes`` are those of its recovery codes, and what was proved without it does
    not count. Raises Missing when there is none to confirm, or no code of it was taken: it is another one then."""
    mine = (
        (second_factors.c.user_id == user_id)
        & second_factors.c.confirmed_at.is_(None)
        & (second_factors.c.last_step > _NO_STEP)
    )
    confirmed = update(second_factors).where(mine).values(confirmed_at=clock.timestamp())
    if not connection.execute(confirmed).rowcount:
        raise Missing("there is no second factor to confirm: begin again")
    connection.execute(update(users).where(users.c.id == user_id).values(second_factor=True))
    set_recovery_codes(connection, user_id, hashes)
    end_proofs(connection, user_id)


def spend_step(connection: Connection, user_id: int, step: int) -> bool:
    """Take the code of ``step``; whether no code of that step or a later one was taken before."""
    mine = (second_factors.c.user_id == user_id) & (second_factors.c.last_step < step)
    spent = update(second_factors).where(mine).values(last_step=step)
    return connection.execute(spent).rowcount == 1


def remove_second_factor(connection: Connection, user_id: int) -> None:
    """With its recovery codes; what was proved with it does not count any more. Raises Missing when there is
    none that counts."""
    mine = (second_factors.c.user_id == user_id) & second_factors.c.confirmed_at.is_not(None)
    if not connection.execute(delete(second_factors).where(mine)).rowcount:
        raise Missing("there is no second factor")
    connection.execute(update(users).where(users.c.id == user_id).values(second_factor=False))
    end_proofs(connection, user_id)


def remove_unconfirmed_second_factors(connection: Connection, before: float) -> int:
    """Forget those that nobody has confirmed since ``before``; how many."""
    old = second_factors.c.confirmed_at.is_(None) & (second_factors.c.created_at < before)
    return connection.execute(delete(second_factors).where(old)).rowcount


def set_recovery_codes(connection: Connection, user_id: int, hashes: Iterable[str]) -> None:
    """Those of before count no longer."""
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
    rows = [{"user_id": user_id, "code_hash": code_hash} for code_hash in hashes]
    connection.execute(insert(recovery_codes), rows)


def spend_recovery_code(connection: Connection, user_id: int, code_hash: str) -> bool:
    """Take one; whether there was such a code."""
    mine = (recovery_codes.c.user_id == user_id) & (recovery_codes.c.code_hash == code_hash)
    return connection.execute(delete(recovery_codes).where(mine)).rowcount == 1


def count_recovery_codes(connection: Connection, user_id: int) -> int:
    """How many are left."""
    query = select(func.count()).where(recovery_codes.c.user_id == user_id)
    return connection.scalar(query) or 0
