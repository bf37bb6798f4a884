"""Uploads compared with the simplest thing that could be right: bytes in a dictionary."""

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from longshore.storage.driver import PathNotFound, Staged, StorageDriver
from longshore.storage.filesystem import FilesystemDriver
from longshore.storage.inmemory import InMemoryDriver
from longshore.testing.storage_fixtures import content, pieces, recorded

T = TypeVar("T")

CHUNKS = st.lists(st.binary(max_size=40), max_size=4)
UPLOADS = st.sampled_from(["u", "u1", "u-2"])
PATHS = st.sampled_from(["/o/a", "/o/d/e", "/o/d/f", "/o/d/g/h"])


@dataclass(frozen=True)
class Version:
    """A state that an upload had once, in its ``life`` between two ends of its staging."""

    staged: Staged
    content: bytes
    life: int


class StagingModel(RuleBasedStateMachine):
    """Any version may be continued, read or published at any time, also one that lost."""

    versions: Bundle[Version] = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.driver = self.make()
        self.wait(self.driver.open())
        self.objects: dict[str, bytes] = {}
        self.lives: Counter[str] = Counter()
        self.uploads: set[str] = set()

    def make(self) -> StorageDriver:
        raise NotImplementedError

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.wait(self.driver.close())
        self.runner.close()

    def is_gone(self, version: Version) -> bool:
        return bool(version.content) and version.life != self.lives[version.staged.upload]

    def end(self, upload: str) -> None:
        self.lives[upload] += 1
        self.uploads.discard(upload)

    @rule(target=versions, upload=UPLOADS)
    def start(self, upload: str) -> Version:
        return Version(Staged(upload), b"", 0)

    @rule(target=versions, version=versions, chunks=CHUNKS)
    def append(self, version: Version, chunks: list[bytes]) -> Any:
        body, upload = b"".join(chunks), version.staged.upload
        attempt = self.driver.append(version.staged, pieces(*chunks))
        if self.is_gone(version):
            # With no bytes to add a driver need not look.
            with pytest.raises(PathNotFound) if body else suppress(PathNotFound):
                self.wait(attempt)
            return multiple()
        staged = recorded(self.wait(attempt))
        assert staged.size == len(version.content) + len(body)
        if body:
            self.uploads.add(upload)
        life = self.lives[upload] if body else version.life
        return Version(staged, version.content + body, life)

    @rule(version=versions, chunks=CHUNKS)
    def append_what_breaks(self, version: Version, chunks: list[bytes]) -> None:
        async def broken() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk
            raise ConnectionResetError

        # Whether the driver looks before or after the body begins is its own business.
        faults = (ConnectionResetError, PathNotFound)
        with pytest.raises(faults if self.is_gone(version) else ConnectionResetError):
            self.wait(self.driver.append(version.staged, broken()))

    @rule(version=versions)
    def read(self, version: Version) -> None:
        stream = content(self.driver.staged_stream(version.staged))
        if self.is_gone(version):
            with pytest.raises(PathNotFound):
                self.wait(stream)
        else:
            assert self.wait(stream) == version.content

    @rule(version=versions, path=PATHS)
    def publish(self, version: Version, path: str) -> None:
        publishing = self.driver.publish(version.staged, path)
        if not self.is_gone(version):
            self.wait(publishing)
            self.objects[path] = version.content
        elif len(self.objects.get(path, b"")) == len(version.content):
            self.wait(publishing)
        else:
            with pytest.raises(PathNotFound):
                self.wait(publishing)
            return
        self.end(version.staged.upload)

    @rule(upload=UPLOADS)
    def discard(self, upload: str) -> None:
        self.wait(self.driver.discard(upload))
        self.end(upload)

    @rule(path=PATHS, body=st.binary(max_size=100))
    def write(self, path: str, body: bytes) -> None:
        self.wait(self.driver.write(path, body))
        self.objects[path] = body

    @rule(path=PATHS)
    def delete(self, path: str) -> None:
        if path in self.objects:
            del self.objects[path]
            self.wait(self.driver.delete(path))
        else:
            with pytest.raises(PathNotFound):
                self.wait(self.driver.delete(path))

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        async def compare() -> None:
            found = {e.path: await self.driver.read(e.path) async for e in self.driver.list("/o")}
            assert found == self.objects
            assert {upload async for upload, _ in self.driver.list_staged()} == self.uploads

        self.wait(compare())


class InMemoryModel(StagingModel):
    def make(self) -> StorageDriver:
        return InMemoryDriver()


class FilesystemModel(StagingModel):
    def make(self) -> StorageDriver:
        self.root = Path(tempfile.mkdtemp())
        return FilesystemDriver(self.root)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.root)


_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
TestInMemoryModel = InMemoryModel.TestCase
TestInMemoryModel.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=_SLOW
)
TestFilesystemModel = FilesystemModel.TestCase
TestFilesystemModel.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=_SLOW
)
