"""Tags that somebody else tells: a Harbor's bucket has manifests and layers, and old tags at best.

A file has one tag a line, as CSV (``repository,tag,digest[,pushed]``, with or without a header) or as
JSON objects with these keys. ``pushed`` is ISO 8601, in UTC where it does not say.
"""

import asyncio
import csv
import json
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from longshore.adoption import store
from longshore.db.database import Database
from longshore.oci.digest import Digest
from longshore.oci.errors import RegistryError
from longshore.oci.names import RepositoryName, Tag
from longshore.telemetry import clock

_BATCH: Final = 1000
_FIELDS: Final = ("repository", "tag", "digest", "pushed")


class TagsInvalid(Exception):
    """A tag that was told cannot be one; the message says where, and what was expected."""


@dataclass(frozen=True, slots=True)
class GivenTag:
    """A tag of a repository; ``at`` is when it was pushed (POSIX seconds)."""

    repository: RepositoryName
    tag: Tag
    digest: Digest
    at: float

    @classmethod
    def parse(cls, repository: str, tag: str, digest: str, pushed: str = "") -> "GivenTag":
        """Raises TagsInvalid."""
        try:
            return cls(RepositoryName(repository), Tag(tag), Digest(digest), _moment(pushed))
        except RegistryError as error:
            raise TagsInvalid(error.message) from error


async def take(database: Database, tags: AsyncIterable[GivenTag]) -> int:
    """Keep the tags for the adoption that is about to begin, in place of those in storage; how many.

    Raises whatever ``tags`` raises; then none are kept.
    """
    await database.write(store.forget_given_tags)
    count = 0
    batch: list[GivenTag] = []
    async for tag in tags:
        batch.append(tag)
        if len(batch) == _BATCH:
            count += await _keep(database, batch)
            batch = []
    count += await _keep(database, batch)
    if not count:
        raise TagsInvalid("there is no tag at all")
    await database.write(store.prefer_given_tags)
    return count


async def _keep(database: Database, batch: list[GivenTag]) -> int:
    rows = [
        {"repository": one.repository, "name": one.tag, "digest": one.digest, "at": one.at}
        for one in batch
    ]
    await database.write(partial(store.add_given_tags, rows=rows))
    return len(rows)


async def from_file(path: Path) -> AsyncIterator[GivenTag]:
    """The tags in a file. Raises TagsInvalid, OSError."""
    with closing(_lines(path)) as lines:
        while batch := await asyncio.to_thread(lambda: [*islice(lines, _BATCH)]):
            for tag in batch:
                yield tag


def _lines(path: Path) -> Generator[GivenTag, None, None]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.read(1)
        file.seek(0)
        rows = _json_rows(file) if first == "{" else _csv_rows(file)
        for number, row in rows:
            try:
                yield GivenTag.parse(*row)
            except TagsInvalid as error:
                raise TagsInvalid(f"{path}, line {number}: {error}") from error


def _csv_rows(file: Any) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(file)
    for row in reader:
        if not row or (reader.line_num == 1 and row[:3] == list(_FIELDS[:3])):
            continue
        if not 3 <= len(row) <= len(_FIELDS):
            raise TagsInvalid(
                f"{file.name}, line {reader.line_num}: {len(row)} fields; expected "
                "repository,tag,digest and perhaps the time of the push"
            )
        yield reader.line_num, row


def _json_rows(file: Any) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except ValueError as error:
            raise TagsInvalid(f"{file.name}, line {number}: no JSON: {error}") from error
        if not isinstance(found, Mapping) or not all(
            isinstance(found.get(field), str) for field in _FIELDS[:3]
        ):
            raise TagsInvalid(
                f"{file.name}, line {number}: expected an object with repository, tag and digest"
            )
        yield number, [str(found.get(field) or "") for field in _FIELDS]


def _moment(text: str) -> float:
    if not text:
        return clock.timestamp()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise TagsInvalid(f"{text[:60]!r} is no time; expected 2026-01-31T12:00:00Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
