"""`longshore storage` beside real servers, as docs/storage.md shows it."""

import json
import re
import shlex
import sqlite3
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.resilience.server import eventually, kill_server
from tests.services.images import digest_of
from tests.services.registries import Registry, RegistryFactory, server_program

PAGE = (Path(__file__).parents[2] / "docs" / "storage.md").read_text()


def run(registry: Registry, *words: str, code: int = 0) -> str:
    """What the command prints."""
    done = subprocess.run(
        [server_program(), *words, "--config", registry.directory / "config.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def documented() -> dict[str, Any]:
    """The page's example of two backends."""
    (block,) = re.findall(r"^```yaml\n(longshore:\n  storage:\n.*?)^```", PAGE, re.M | re.S)
    found: dict[str, Any] = yaml.safe_load(block)
    return found


def two_backends(directory: Path, **more: object) -> dict[str, Any]:
    config = documented()
    config["longshore"]["storage"]["backends"]["cold"] = {
        "filesystem": {"rootdirectory": str(directory / "cold")}
    }
    config["longshore"]["jobs"] = {"poll": "100ms", "lease": "2s"}
    config["longshore"]["storage"].update(more)
    return config


def push(registry: Registry, repository: str, content: bytes) -> str:
    digest = digest_of(content)
    with registry.client() as client:
        begun = client.post(f"/v2/{repository}/blobs/uploads/")
        put = f"{begun.headers['Location']}?digest={digest}"
        assert client.put(put, content=content).status_code == 201
    return digest


def pull(registry: Registry, repository: str, digest: str) -> str:
    with registry.client() as client:
        reply = client.get(f"/v2/{repository}/blobs/{digest}", follow_redirects=True)
        assert reply.status_code == 200, reply.text
        return digest_of(reply.content)


def held(registry: Registry) -> dict[str, tuple[int, int]]:
    """Blobs in use and bytes to be removed, by backend."""
    found = json.loads(run(registry, "storage", "list", "--json"))
    return {entry["backend"]: (entry["blobs"], entry["removable"]) for entry in found}


def ended(registry: Registry, job: int) -> dict[str, Any]:
    """The job when it is over."""

    def look() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run(registry, "jobs", "show", str(job), "--json"))
        return found

    assert eventually(lambda: look()["status"] not in ("queued", "running"), 60), look()
    return look()


def test_the_page_shows_what_is_printed(registry_factory: RegistryFactory, tmp_path: Path) -> None:
    directory = tmp_path / "registry"
    registry = registry_factory(two_backends(directory, rules=[]), directory=directory)
    for number in range(3):
        push(registry, "archive/2019/app", bytes([number]) * 1000)
    push(registry, "team/app", b"in use")
    (example,) = re.findall(r"^```\n(\$ longshore storage list\n.*?)^```", PAGE, re.M | re.S)
    printed, job = "", ""
    for command in re.findall(r"^\$ longshore (.*)$", example, re.M):
        words = shlex.split(command)
        if words[:2] == ["jobs", "show"]:
            words[2] = job
            ended(registry, int(job))
        out = run(registry, *words)
        printed += f"$ longshore {command}\n{out}"
        job = "".join(re.findall(r"^job (\d+) moves", out)) or job

    assert comparable(printed, directory) == comparable(example, directory)


def comparable(text: str, directory: Path) -> str:
    """Without what differs from run to run: times, processes, places, and the width of columns."""
    text = text.replace(str(directory / "data"), "/var/lib/registry")
    text = text.replace(str(directory / "cold"), "s3-archive-registry")
    text = re.sub(r"\bs3  ", "filesystem  ", text)
    text = re.sub(r"(\bjobs? (?:show )?|job: +)\d+", r"\1ID", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME", text)
    return re.sub(r" +", " ", text)


def test_a_move_survives_that_its_server_is_killed_and_readers_notice_nothing(
    registry_factory: RegistryFactory, tmp_path: Path
) -> None:
    directory = tmp_path / "registry"
    config = two_backends(directory, rules=[])
    registry = registry_factory(config, directory=directory)
    large = bytes(range(256)) * (24 << 12)  # 24 MiB
    blobs = [bytes([number]) * 300_000 for number in range(12)] + [large]
    digests = [push(registry, "team/app", content) for content in blobs]
    printed = run(registry, "storage", "move", "--to", "cold", "--rate", "8MiB")
    job = int(re.findall(r"^job (\d+)", printed)[0])

    for number in range(2):
        assert eventually(partial(has_moved, registry, number))
        kill_server(registry)
        registry = registry_factory(config, directory=directory)
        for digest in digests:
            assert pull(registry, "team/app", digest) == digest
    assert ended(registry, job)["status"] == "done"

    assert held(registry)["default"][0] == 0
    assert held(registry)["cold"][0] == len(digests)
    for digest in digests:
        assert pull(registry, "team/app", digest) == digest
    assert not list((directory / "cold").rglob("*move-*"))


def has_moved(registry: Registry, least: int) -> bool:
    """Whether more than so many blobs are in the new place."""
    with closing(sqlite3.connect(registry.directory / "data" / "longshore.db")) as database:
        query = "SELECT count(*) FROM blobs WHERE backend = 'cold'"
        found: int = database.execute(query).fetchone()[0]
    return found > least


def configure(directory: Path, config: dict[str, Any], storage: Path) -> None:
    """Write config.yml with the storage in another directory."""
    config["storage"] = {"filesystem": {"rootdirectory": str(storage)}}
    (directory / "config.yml").write_text(yaml.safe_dump({"version": 0.1, **config}))


def test_the_registry_goes_on_with_another_storage(
    registry_factory: RegistryFactory, tmp_path: Path
) -> None:
    directory = tmp_path / "registry"
    database = {"database": {"url": f"sqlite:///{directory}/longshore.db"}}
    config = two_backends(directory)
    config["longshore"].update(database)
    registry = registry_factory(config, directory=directory)
    digest = push(registry, "team/app", b"data")
    job = re.findall(r"^job (\d+)", run(registry, "storage", "move", "--to", "cold"))[0]
    ended(registry, int(job))
    rename = ("storage", "rename", "cold", "default")
    assert "cold is still one of longshore.storage.backends" in run(registry, *rename, code=1)

    # What was `cold` is to be the storage.
    config["longshore"].pop("storage")
    configure(directory, config, directory / "other")
    assert "stop it" in run(registry, *rename, code=1)
    registry_factory.stop(registry)
    assert "default does not have sha256:" in run(registry, *rename, code=1)
    configure(directory, config, directory / "cold")
    assert "blobs that are in default now: 1" in run(
        registry, "storage", "rename", "cold", "default"
    )
    registry = registry_factory(config, directory=directory)

    assert pull(registry, "team/app", digest) == digest


def test_a_backend_that_holds_bytes_cannot_be_left_out(
    registry_factory: RegistryFactory, tmp_path: Path
) -> None:
    directory = tmp_path / "registry"
    registry = registry_factory(two_backends(directory), directory=directory)
    push(registry, "archive/app", b"data")
    registry_factory.stop(registry)
    config = yaml.safe_load((directory / "config.yml").read_text())
    config["longshore"].pop("storage")
    (directory / "config.yml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [server_program(), "serve", directory / "config.yml"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 1
    assert "blobs lie in a backend 'cold'" in done.stderr
    assert "not configured" in run(registry, "storage", "list")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["move", "--to", "clod"], "there is no backend 'clod'; did you mean cold?; there are: default, cold"),
        (["move", "--to", "cold", "--from", "cold"], "--from and --to are both cold"),
        (["move", "--to", "cold", "--shared"], "--shared says nothing without --repositories"),
        (["move", "--to", "cold", "--repositories", "a/***"], "--repositories: 'a/***' is no repository pattern"),
        (["move", "--to", "cold", "--rate", "fast"], "--rate: 'fast' is not a size"),
        (["rename", "default", "default"], "the two names are the same"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_explained(
    words: list[str], said: str, registry_factory: RegistryFactory, tmp_path: Path
) -> None:
    directory = tmp_path / "registry"
    directory.mkdir()
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        **two_backends(directory),
    }
    (directory / "config.yml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [server_program(), "storage", *words, "-c", directory / "config.yml"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 1
    assert said in done.stderr
