"""`backup` and `restore` from the command line, beside real servers."""

import re
import shlex
import subprocess
import threading
from pathlib import Path

import httpx
import pytest
import yaml
from sqlalchemy import text

from tests.backup.rows import opened
from tests.clients import wire
from tests.services.images import CONFIG, LAYER, MANIFEST
from tests.services.registries import Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [server_program(), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )


def push(client: httpx.Client, name: str, tag: str) -> str:
    config = wire.blob_descriptor(client, name, b"{}", CONFIG)
    layer = wire.blob_descriptor(client, name, f"{name}:{tag}".encode(), LAYER)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
    return str(wire.push_manifest(client, name, manifest, tag)["digest"])


def configured(directory: Path, database: str, name: str) -> Path:
    """The registry's configuration, with another database."""
    found = yaml.safe_load((directory / "config.yml").read_text())
    found["longshore"] = {**found.get("longshore", {}), "database": {"url": database}}
    path = directory / name
    path.write_text(yaml.safe_dump(found))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def registry(request, registry_factory: RegistryFactory) -> Registry:
    if request.param == "sqlite":
        return registry_factory()
    url = request.getfixturevalue("postgres_url")
    return registry_factory({"longshore": {"database": {"url": url}}})


def test_a_backup_during_pushes_has_all_that_its_rows_refer_to(registry: Registry, tmp_path):
    done = threading.Event()
    pushed: list[str] = []

    def keep_pushing(number: int) -> None:
        with registry.client() as client:
            while not done.is_set():
                pushed.append(push(client, f"team/app{number}", f"v{len(pushed)}"))

    pushers = [threading.Thread(target=keep_pushing, args=[number]) for number in range(2)]
    for pusher in pushers:
        pusher.start()
    try:
        written = []
        for number in range(2):
            file = tmp_path / f"{number}.backup"
            written.append((run("backup", file, registry.directory / "config.yml"), file))
    finally:
        done.set()
        for pusher in pushers:
            pusher.join()

    sizes = []
    for made, file in written:
        assert made.returncode == 0, made.stderr
        url = f"sqlite:///{file}.db"
        restored = run("restore", file, configured(registry.directory, url, "restored.yml"))
        assert restored.returncode == 0, restored.stderr
        with opened(url) as database, database.engine.connect() as connection:
            for question in (
                "PRAGMA foreign_key_check",
                (
                    "SELECT * FROM tags t WHERE NOT EXISTS (SELECT 1 FROM manifests m"
                    " WHERE m.repository_id = t.repository_id AND m.digest = t.digest)"
                ),
                (
                    "SELECT * FROM manifest_references r JOIN manifests m ON m.id = r.manifest_id"
                    " WHERE NOT EXISTS (SELECT 1 FROM repository_blobs b"
                    " WHERE b.repository_id = m.repository_id AND b.digest = r.digest)"
                ),
                (
                    "SELECT * FROM manifests m WHERE 2 <> (SELECT count(*) FROM manifest_references r"
                    " WHERE r.manifest_id = m.id)"
                ),
            ):
                assert connection.execute(text(question)).all() == []
            sizes.append(connection.scalar(text("SELECT count(*) FROM manifests")))
    assert sizes == sorted(sizes)
    assert sizes[-1] > 0


def test_restoring_below_a_server_is_refused_and_works_when_it_has_stopped(
    registry: Registry, registry_factory: RegistryFactory, tmp_path
):
    config = registry.directory / "config.yml"
    with registry.client() as client:
        kept = push(client, "team/app", "kept")
        made = run("backup", tmp_path / "backup", config)
        push(client, "team/app", "later")

        refused = run("restore", "--replace", tmp_path / "backup", config)
    registry_factory.stop(registry)
    filled = run("restore", tmp_path / "backup", config)
    done = run("restore", tmp_path / "backup", config, "--replace")
    again = registry_factory(
        {"longshore": yaml.safe_load(config.read_text()).get("longshore", {})},
        directory=registry.directory,
    )

    assert made.returncode == 0, made.stderr
    assert refused.returncode == 1
    assert refused.stderr.startswith("longshore: a server is accepting pushes to this registry")
    assert filled.returncode == 1
    assert "is not empty" in filled.stderr
    assert "--replace" in filled.stderr
    assert done.returncode == 0, done.stderr
    with again.client() as client:
        assert client.get("/v2/team/app/tags/list").json()["tags"] == ["kept"]
        assert client.get("/v2/team/app/manifests/kept").headers["docker-content-digest"] == kept
        push(client, "team/app", "next")


def test_the_pages_examples_move_a_registry_to_postgresql(
    registry_factory: RegistryFactory, postgres_url: str
):
    registry = registry_factory()
    with registry.client() as client:
        digest = push(client, "team/app", "v1")
    registry_factory.stop(registry)
    configured(registry.directory, postgres_url, "postgresql.yml")
    page = (ROOT / "docs" / "backup.md").read_text()
    example = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)[-1]

    for line in example.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "longshore"
        done = run(*arguments, cwd=registry.directory)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("registry.backup: ")

    moved = registry_factory(
        {"longshore": {"database": {"url": postgres_url}}}, directory=registry.directory
    )
    with moved.client() as client:
        found = client.get("/v2/team/app/manifests/v1")
        assert found.headers["docker-content-digest"] == digest
        push(client, "team/app", "v2")
        push(client, "team/other", "v1")


def test_what_cannot_be_done_is_said_in_one_line(tmp_path):
    config = tmp_path / "config.yml"
    config.write_text(
        yaml.safe_dump(
            {"version": 0.1, "storage": {"filesystem": {"rootdirectory": f"{tmp_path}/data"}}}
        )
    )
    (tmp_path / "sentence").write_text("this is no backup")

    for arguments, said in {
        ("backup", tmp_path / "new"): f"there is no database {tmp_path}/data/longshore.db",
        ("restore", tmp_path / "nothing"): f"there is no backup {tmp_path}/nothing",
        ("restore", tmp_path / "sentence"): f"{tmp_path}/sentence is damaged or no backup",
    }.items():
        failed = run(*arguments, config)
        assert failed.returncode == 1
        assert failed.stderr.startswith(f"longshore: {said}"), failed.stderr
        assert failed.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()
