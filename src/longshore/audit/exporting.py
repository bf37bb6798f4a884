"""The log as JSON lines (jsonlines.org), the oldest row first, some rows in memory at a time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from longshore.audit import store
from longshore.audit.model import Row
from longshore.db.database import Connection

MEDIA_TYPE: Final = "application/jsonl"
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Export:
    """What is left to write: rows behind the one with the id ``after`` up to ``last``, not older than
    ``since`` and older than ``until`` (POSIX seconds; None: any)."""

    after: int = 0
    last: int = 0
    since: float | None = None
    until: float | None = None

    def begun(self, connection: Connection) -> "Export":
        """With both ends, as they are now: what is added meanwhile is not waited for."""
        first, last = store.ends_between(connection, self.since, self.until)
        return replace(self, after=max(self.after, first - 1), last=last)

    def next(self, connection: Connection) -> tuple[bytes, "Export"]:
        """Some lines, none when that was all, and what is left then."""
        rows = store.following(
            connection, self.after, _BATCH, last=self.last, since=self.since, until=self.until
        )
        left = replace(self, after=rows[-1].id) if rows else self
        return b"".join(lines(rows)), left


def lines(rows: list[Row]) -> Iterator[bytes]:
    """Each row on a line."""
    for row in rows:
        yield json.dumps(row.to_json(), ensure_ascii=False).encode() + b"\n"
