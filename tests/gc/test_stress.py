"""Real clients, three servers over PostgreSQL and one storage, and collectors that are killed."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.clients import wire
from tests.services.images import Layout
from tests.services.programs import Shell
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service

#: Seconds. The lease is longer than a push takes on a busy machine, and much shorter than the test.
SECONDS = float(os.environ.get("GC_STRESS_SECONDS", "15"))
LEASE = 8.0
REPOSITORIES = ("one", "two/deep")
CLIENTS = 3


def make_images(directory: Path) -> dict[str, Path]:
    """Layouts by digest: images that share layers in many ways, and an index of two of them."""
    found = {}
    for number in range(5):
        layout = Layout(directory / f"image{number}")
        layers = [{"base": b"base" * 5000}, {"shared": bytes([number // 2]) * 9000}]
        image = layout.image(*layers, {"own": bytes([number]) * 3000})
        layout.name("latest", image)
        found[image["digest"]] = layout.path
    layout = Layout(directory / "multi")
    children = [layout.image({"base": b"base" * 5000}, architecture=a) for a in ("amd64", "arm64")]
    multi = layout.index(*children)
    layout.name("latest", multi)
    return {**found, multi["digest"]: layout.path}


@dataclass
class Client:
    """What one client does, and which digest each of its tags has."""

    number: int
    shell: Shell
    registries: list[Registry]
    images: dict[str, Path]
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    def act(self, until: float) -> None:
        chance = random.Random(self.number)
        deeds = (self.push, self.push, self.copy, self.untag, self.check, self.lose)
        while time.monotonic() < until:
            deed = chance.choice(deeds)
            deed(chance)
            self.done[deed.__name__] = self.done.get(deed.__name__, 0) + 1

    def push(self, chance: random.Random) -> None:
        digest = chance.choice(list(self.images))
        repository, tag = chance.choice(REPOSITORIES), self.tag(chance)
        self.shell("crane", "push", self.images[digest], self.at(chance, repository, tag))
        self.tags[repository, tag] = digest

    def copy(self, chance: random.Random) -> None:
        """From one repository to the other, with mounts."""
        if not self.tags:
            return
        (repository, tag), digest = chance.choice(list(self.tags.items()))
        target = (REPOSITORIES[1 - REPOSITORIES.index(repository)], self.tag(chance))
        host = chance.choice(self.registries).host
        self.shell("crane", "copy", f"{host}/{repository}:{tag}", f"{host}/{target[0]}:{target[1]}")
        self.tags[target] = digest

    def untag(self, chance: random.Random) -> None:
        if not self.tags:
            return
        repository, tag = chance.choice(list(self.tags))
        with chance.choice(self.registries).client() as http:
            gone = http.delete(f"/v2/{repository}/manifests/{tag}")
        assert gone.status_code == httpx.codes.ACCEPTED, gone.text
        del self.tags[repository, tag]

    def check(self, chance: random.Random) -> None:
        """Pull every byte of something that is tagged."""
        if not self.tags:
            return
        (repository, tag), digest = chance.choice(list(self.tags.items()))
        reference = self.at(chance, repository, tag)
        assert self.shell("crane", "digest", reference).out.strip() == digest
        self.shell("crane", "validate", "--remote", reference)

    def lose(self, chance: random.Random) -> None:
        """Push a blob that nothing will refer to."""
        with chance.choice(self.registries).client() as http:
            wire.push_blob(http, chance.choice(REPOSITORIES), chance.randbytes(500))

    def tag(self, chance: random.Random) -> str:
        return f"client{self.number}-{chance.randrange(4)}"

    def at(self, chance: random.Random, repository: str, tag: str) -> str:
        return f"{chance.choice(self.registries).host}/{repository}:{tag}"


@dataclass
class Collectors:
    """Processes that collect; each is killed and replaced now and then."""

    command: list[str]
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    killed: int = 0

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.processes.append(subprocess.Popen(self.command, stdout=log, stderr=log))

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        assert process.poll() is None, self.log.read_text()[-3000:]
        process.kill()
        process.wait()
        self.processes.remove(process)
        self.killed += 1

    def trouble(self, until: float) -> None:
        chance = random.Random(0)
        while time.monotonic() < until:
            time.sleep(min(chance.uniform(1, 4), max(0.0, until - time.monotonic())))
            self.kill(chance.choice(self.processes))
            self.start()


@pytest.fixture
def collectors(tmp_path: Path, postgres_url: str) -> Iterator[Collectors]:
    command = [sys.executable, "-m", "tests.gc.collector", postgres_url, str(tmp_path / "storage")]
    found = Collectors([*command, str(LEASE)], tmp_path / "collectors.log")
    yield found
    for process in found.processes:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


def test_clients_notice_nothing_and_what_is_unused_goes(
    tmp_path: Path,
    shell: Shell,
    registry_factory: RegistryFactory,
    postgres_url: str,
    collectors: Collectors,
) -> None:
    storage = tmp_path / "storage"
    config = {
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "longshore": {"database": {"url": postgres_url}, "jobs": {"enabled": False}},
    }
    registries = [registry_factory(config) for _ in range(3)]
    images = make_images(tmp_path)
    clients = [Client(number, shell, registries, images) for number in range(CLIENTS)]
    for _ in range(2):
        collectors.start()

    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor() as threads:
        work = [threads.submit(client.act, until) for client in clients]
        work.append(threads.submit(collectors.trouble, until))
        for one in work:
            one.result(timeout=SECONDS + 120)

    for process in list(collectors.processes):
        collectors.kill(process)
    # What the killed ones announced to remove is taken over after its time; give the rest its lease.
    collectors.start()
    assert sum(client.done.get("push", 0) for client in clients) > 0
    check_all(clients)
    needed = reachable(registries[0], clients)
    deadline = time.monotonic() + 240
    while (left := stored(storage)) != needed and time.monotonic() < deadline:
        assert needed <= left
        time.sleep(0.5)
    assert left == needed, collectors.log.read_text()[-3000:]
    check_all(clients)


def check_all(clients: list[Client]) -> None:
    """Every tag names what its client pushed last, and all of it can be pulled."""
    for client in clients:
        for (repository, tag), digest in client.tags.items():
            reference = f"{client.registries[0].host}/{repository}:{tag}"
            assert client.shell("crane", "digest", reference).out.strip() == digest
            client.shell("crane", "validate", "--remote", reference)


def reachable(registry: Registry, clients: list[Client]) -> set[str]:
    """The digests of everything that the tags need."""
    found: set[str] = set()
    with registry.client() as http:
        waiting = {key: digest for client in clients for key, digest in client.tags.items()}
        manifests = {(repository, digest) for (repository, _), digest in waiting.items()}
        while manifests:
            repository, digest = manifests.pop()
            found.add(digest)
            document = http.get(f"/v2/{repository}/manifests/{digest}").json()
            manifests |= {(repository, c["digest"]) for c in document.get("manifests", ())}
            blobs = [document["config"], *document["layers"]] if "config" in document else []
            found |= {blob["digest"] for blob in blobs}
    return found


def stored(storage: Path) -> set[str]:
    blobs = storage / "docker/registry/v2/blobs/sha256"
    return {f"sha256:{file.parent.name}" for file in blobs.glob("*/*/data")}
