"""The log as JSON lines over the API."""

import re
from functools import partial

import pytest

from longshore.api.application import OWN
from longshore.audit.exporting import Export
from longshore.audit.model import Row
from tests.audit.receiving import json_lines
from tests.audit.test_audit_command import PAGE
from tests.audit.test_chain import KEYS, add, entry
from tests.services.management import ADMIN, management_of

pytestmark = pytest.mark.anyio

PATH = f"{OWN}/audit/export"


@pytest.fixture
async def management(database_url, tmp_path):
    """A log of 1,203 rows from 00:16:41 of the first day of 1970, a second apart, that nothing is added to."""
    options = {"audit": {"enabled": False}}
    async with management_of(database_url, tmp_path, longshore=options) as found:
        await found.change(partial(add, first=1, count=1203))
        yield found


async def ids(management, **params: str) -> list[int]:
    reply = await management.ask(ADMIN, "GET", PATH, params=params)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/jsonl"
    return [row["id"] for row in json_lines(reply.text)]


async def test_the_whole_log_is_exported_as_it_is(management):
    reply = await management.ask(ADMIN, "GET", PATH)
    rows = [Row(**found) for found in json_lines(reply.text)]

    assert [row.id for row in rows] == list(range(1, 1204))
    assert rows[0].entry() == entry(1)
    assert reply.headers["content-disposition"] == 'attachment; filename="audit.jsonl"'


async def test_an_export_may_be_of_a_time_and_go_on_where_one_ended(management):
    assert await ids(management, after="1200") == [1201, 1202, 1203]
    assert await ids(management, since="1970-01-01T00:36:42Z") == [1202, 1203]
    assert await ids(management, until="1970-01-01T01:16:43+01:00") == [1, 2]
    assert await ids(management, since="1970-01-01T00:16:42", until="1970-01-01T00:16:44") == [2, 3]
    assert await ids(management, since="2026-01-01") == []


async def test_what_is_no_time_is_refused(management):
    reply = await management.ask(ADMIN, "GET", PATH, params={"since": "yesterday"})

    assert reply.status_code == 422
    assert "since" in reply.text


async def test_an_export_ends_with_what_was_the_newest_row_when_it_began(management):
    """And holds some hundreds of rows at a time."""
    database = management.database
    left = await database.read(Export().begun)
    text, left = await database.read(left.next)
    await management.change(partial(add, first=2000, count=5, keys=KEYS))
    batches = [text]
    while text:
        text, left = await database.read(left.next)
        batches.append(text)

    assert [batch.count(b"\n") for batch in batches] == [500, 500, 203, 0]


async def test_the_address_in_the_documentation_is_that_of_the_export(management):
    (url,) = re.findall(r"'https://registry\.example\.org(/\S+)'", PAGE.read_text())
    reply = await management.ask(ADMIN, "GET", url)

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/jsonl"
