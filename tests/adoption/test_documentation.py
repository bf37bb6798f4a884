"""docs/adoption.md: every command is run as it stands, every statement, every configuration."""

import re
import shlex
from contextlib import chdir
from pathlib import Path

import psycopg
import pytest
import yaml

from longshore.adoption.given import from_file
from longshore.oci.digest import Digest
from longshore.settings import load_configuration
from tests.adoption.test_command import longshore, push
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service

PAGE = (Path(__file__).parents[2] / "docs" / "adoption.md").read_text()
#: Harbor's own definitions of the columns that the statement reads.
HARBOR = """
CREATE TABLE artifact (id SERIAL PRIMARY KEY, repository_id int NOT NULL,
    repository_name varchar(255) NOT NULL, digest varchar(255) NOT NULL);
CREATE TABLE tag (id SERIAL PRIMARY KEY, repository_id int NOT NULL, artifact_id int NOT NULL,
    name varchar(255) NOT NULL, push_time timestamp DEFAULT CURRENT_TIMESTAMP);
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


def test_the_commands_work_in_the_order_of_the_page(registry_factory: RegistryFactory):
    registry = registry_factory()
    digest = push(registry, "team/app", "v1")
    registry_factory.stop(registry)
    run(registry, "longshore export-links config.yml")
    for path in (registry.directory / "data").glob("longshore.db*"):
        path.unlink()
    (registry.directory / "tags.csv").write_text(f"team/app,v1,{digest}\n")
    done = []
    for command in commands():
        if "serve" in command or "--harbor-url" in command:
            continue
        if "--tags" in command:  # a new registry is adopted there
            for path in (registry.directory / "data").glob("longshore.db*"):
                path.unlink()
        if command.startswith("longshore adopt config.yml") and "--" not in command:
            command += " --wait"
        if command == "longshore reindex config.yml":
            command += " --replace"
        run(registry, command)
        done.append(command.split()[1])

    assert {"adopt", "jobs", "export-links", "reindex"} <= set(done)
    again = registry_factory(directory=registry.directory)
    with again.client() as client:
        assert client.get("/v2/team/app/manifests/v1").status_code == 200


def run(registry: Registry, command: str) -> None:
    words = shlex.split(command)[1:]
    if words[0] == "jobs":
        words += ["--config", "config.yml"]
    with chdir(registry.directory):
        longshore(*words)


def test_the_configuration_is_understood(tmp_path):
    assert blocks("yaml")
    for block in blocks("yaml"):
        path = tmp_path / "config.yml"
        path.write_text(
            yaml.safe_dump({"version": 0.1, "storage": "inmemory", **yaml.safe_load(block)})
        )
        assert load_configuration(path, {}).warnings == ()


@pytest.mark.anyio
async def test_the_statement_gives_what_the_command_reads(postgres_url, tmp_path):
    digest = Digest.of(b"manifest")
    [statement] = blocks("sql")
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute(HARBOR)
        row = ("library/app", digest)
        connection.execute(
            "INSERT INTO artifact (repository_id, repository_name, digest) VALUES (1, %s, %s)", row
        )
        connection.execute(
            "INSERT INTO tag (repository_id, artifact_id, name, push_time) "
            "VALUES (1, 1, 'v1', '2026-01-31 12:00:00.5')"
        )
        with connection.cursor().copy(statement.encode()) as copy:
            (tmp_path / "tags.csv").write_bytes(b"".join(bytes(piece) for piece in copy))

    [tag] = [tag async for tag in from_file(tmp_path / "tags.csv")]

    assert (tag.repository, tag.tag, tag.digest, tag.at) == (*row[:1], "v1", digest, 1769860800.5)
