"""Verification: every row is what was sealed, follows the one before, and both ends are where they were."""

from collections import Counter
from typing import Final

from longshore.audit import store
from longshore.audit.model import Row, State, Verdict
from longshore.audit.sealing import GENESIS, Sealing
from longshore.db.database import Connection

_BATCH: Final = 2000
#: Problems that are told one by one.
_TOLD: Final = 100


def verify(connection: Connection, sealing: Sealing) -> Verdict:
    """Read the whole log, a batch at a time, in one transaction. Blocks."""
    check = _Check(sealing)
    state = store.read_state(connection)
    if state is not None:
        check.begin(state)
    after = -(2**63)
    while rows := store.following(connection, after, _BATCH):
        for row in rows:
            check.row(row)
        after = rows[-1].id
    check.end(state)
    return check.verdict()


class _Check:
    def __init__(self, sealing: Sealing) -> None:
        self._sealing = sealing
        self._problems: list[str] = []
        self._more = 0
        self._keys: Counter[str] = Counter()
        self._rows = self._first = self._last = 0
        self._seal = GENESIS
        self._stronger = False
        self._limit: int | None = None
        self._weak_ends = False
        self._last_key = ""

    def begin(self, state: State) -> None:
        if not self._sealing.holds_ends(state):
            reason = (
                "are not those that were sealed"
                if self._sealing.knows(state.key_id)
                else f"are sealed with the key {state.key_id}, which is not configured"
            )
            self._problem(f"the ends of the log {reason}")
        self._last, self._seal = state.removed_through, state.removed_seal
        self._limit = state.last_id
        self._weak_ends = state.key_id == self._sealing.kept_id

    def row(self, row: Row) -> None:
        self._rows += 1
        self._keys[row.key_id] += 1
        self._last_key = row.key_id
        self._first = self._first or row.id
        expected = self._last + 1
        if row.id < expected:
            self._problem(f"row {row.id} is before the beginning: it was added")
            return
        if row.id > expected:
            self._problem(_missing(expected, row.id - 1))
        if self._limit is not None and row.id > self._limit:
            self._problem(f"row {row.id} is behind the end: it was added")
        if not self._sealing.knows(row.key_id):
            self._problem(f"row {row.id} is sealed with the key {row.key_id}, not configured")
        elif not self._sealing.holds(row):
            self._problem(f"row {row.id} was changed, added or moved: its seal does not fit")
        elif row.id == expected and row.previous != self._seal:
            self._problem(f"row {row.id} does not follow the row before it")
        if row.key_id != self._sealing.kept_id:
            self._stronger = True
        elif self._stronger:
            self._problem(f"row {row.id} is sealed with the database's own key, rows before not")
        self._last, self._seal = row.id, row.seal

    def end(self, state: State | None) -> None:
        if state is None:
            if self._rows:
                self._problem("nothing says where the log ends: audit_state is empty")
            return
        if self._weak_ends and self._last_key not in ("", self._sealing.kept_id):
            self._problem(
                "the ends of the log are sealed with the database's own key, the last row is not: it may have been cut off"
            )
        if self._last < state.last_id:
            self._problem(f"{_missing(self._last + 1, state.last_id)}, at the end")
        elif self._last == state.last_id and self._seal != state.last_seal:
            self._problem(f"row {self._last} is not the one that the log ended with")

    def verdict(self) -> Verdict:
        told = tuple(self._problems)
        if self._more:
            told += (f"and {self._more} more problems",)
        guarded = not self._keys[self._sealing.kept_id] and not self._weak_ends
        return Verdict(self._rows, self._first, self._last, told, guarded, dict(self._keys))

    def _problem(self, text: str) -> None:
        if len(self._problems) < _TOLD:
            self._problems.append(text)
        else:
            self._more += 1


def _missing(first: int, last: int) -> str:
    return f"row {first} is missing" if first == last else f"rows {first} to {last} are missing"
