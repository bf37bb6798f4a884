"""`longshore jobs` beside a real server, as docs/jobs.md shows it."""

import asyncio
import json
import re
from functools import partial
from pathlib import Path

import anyio
import pytest
import yaml

from longshore import migrations
from longshore.cli.main import main
from longshore.db.database import Database
from longshore.jobs import queue
from tests.services.registries import RegistryFactory, server_program

PAGE = Path(__file__).parents[2] / "docs" / "jobs.md"


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    file = tmp_path / "config.yml"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "longshore": {"database": {"url": database_url}},
    }
    file.write_text(yaml.safe_dump(settings))
    return file


@pytest.fixture
def job(database_url: str) -> int:
    """A job that waits, in a registry that has been started before."""
    database = Database(database_url, pool_size=1)
    database.open()
    migrations.upgrade(database)
    add = partial(queue.enqueue, kind="test", payload={"name": "app"}, now=1.0)
    found = asyncio.run(database.write(add))
    database.close()
    return found


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(["jobs", *words])
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_jobs_are_listed_and_shown(config, job, capsys):
    _, text, _ = run(capsys, "list", "-c", str(config))
    _, document, _ = run(capsys, "list", "-c", str(config), "--json", "--status", "queued")
    _, nothing, _ = run(capsys, "list", "-c", str(config), "--json", "--kind", "other")
    _, page, _ = run(capsys, "show", str(job), "-c", str(config))
    _, shown, _ = run(capsys, "show", str(job), "-c", str(config), "--json")

    assert text.splitlines()[1].split() == [
        str(job),
        "test",
        "queued",
        "0",
        "1970-01-01",
        "00:00:01Z",
    ]
    assert [found["id"] for found in json.loads(document)] == [job]
    assert json.loads(nothing) == []
    assert "payload:   {'name': 'app'}" in page
    assert json.loads(shown)["log"] == []


def test_a_job_is_cancelled_and_retried(config, job, capsys):
    assert run(capsys, "cancel", str(job), "-c", str(config))[2] == f"job {job} is cancelled\n"
    code, _, error = run(capsys, "cancel", str(job), "-c", str(config))
    assert code == 1
    assert error.startswith(f"longshore: job {job} is cancelled: only")
    assert run(capsys, "retry", str(job), "-c", str(config))[2] == f"job {job} is queued again\n"
    assert run(capsys, "retry", str(job), "-c", str(config))[0] == 1


@pytest.mark.parametrize("verb", ["show", "retry", "cancel"])
def test_a_job_that_is_not_there_is_named(verb, config, job, capsys):
    code, _, error = run(capsys, verb, "4711", "-c", str(config))

    assert (code, error) == (1, "longshore: there is no job 4711: see `longshore jobs list`\n")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_registry_that_was_never_started_is_not_made(config, tmp_path, capsys):
    code, _, error = run(capsys, "list", "-c", str(config))

    assert code == 1
    assert error.startswith("longshore: there is no database ")
    assert not list(tmp_path.glob("*.db"))


def test_the_page_shows_what_is_printed_beside_a_server(registry_factory: RegistryFactory):
    (example,) = re.findall(r"\$ longshore jobs list.*\n((?:.+\n)+?)```", PAGE.read_text())
    registry = registry_factory()
    command = [server_program(), "jobs", "list", "--config", "config.yml"]
    with anyio.from_thread.start_blocking_portal() as portal:
        text = portal.call(_until_listed, command, registry.directory, example.count("queued"))

    assert _without_times(text) == _without_times(example)


async def _until_listed(command: list[str], directory: Path, count: int) -> str:
    with anyio.fail_after(30):
        while True:
            done = await anyio.run_process(command, cwd=directory)
            if done.stdout.count(b"queued") == count:
                return done.stdout.decode()
            await anyio.sleep(0.2)


def _without_times(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME", text)
