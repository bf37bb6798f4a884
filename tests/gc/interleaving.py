"""A world in which everything happens at the same time, one step after the other.

A step is one transaction or one call of the storage driver. Whoever wants to take one waits; chance
(from a seed) says who goes next, when time passes, and which collector is killed before its step.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from longshore.db.database import Database
from longshore.storage.driver import Entry
from longshore.storage.filesystem import FilesystemDriver

T = TypeVar("T")

#: A call of the storage takes no longer, in seconds of this world: as the guard around it promises.
LONGEST_DELETE = 60.0


@dataclass
class World:
    """``limits`` are moments that time may not pass while somebody is between two steps."""

    chance: random.Random
    now: float
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    limits: dict[object, float] = field(default_factory=dict)
    busy: int = 0
    steps: int = 0

    def timestamp(self) -> float:
        return self.now

    async def step(self, work: Callable[[], Awaitable[T]]) -> T:
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self.waiting:
                self.waiting.remove(turn)
            elif turn.done() and not turn.cancelled():
                self.busy -= 1
            raise
        try:
            return await work()
        finally:
            self.busy -= 1

    def pass_time(self, longest: float) -> None:
        """Let time go on by chance, but not past what anybody at work may rely on."""
        latest = min(self.limits.values(), default=self.now + longest)
        self.now += self.chance.random() * max(0.0, min(longest, latest - self.now))

    async def run(self, actors: list[asyncio.Task[Any]], longest: float) -> None:
        """Until all actors have ended."""
        while not all(actor.done() for actor in actors):
            for _ in range(8):  # let everybody who can reach the next step do so
                await asyncio.sleep(0)
            if self.busy or not self.waiting:
                await asyncio.sleep(0.0002)
                continue
            if self.chance.random() < 0.1:
                self.pass_time(longest)
            self.steps += 1
            self.busy += 1
            turn = self.waiting.pop(self.chance.randrange(len(self.waiting)))
            if turn.cancelled():
                self.busy -= 1
            else:
                turn.set_result(None)
        await asyncio.gather(*actors)


class SteppedDatabase(Database):
    """A database whose transactions are steps."""

    world: World

    async def read(self, work: Any) -> Any:
        return await self.world.step(lambda: Database.read(self, work))

    async def write(self, work: Any, *, durable: bool = True) -> Any:
        return await self.world.step(lambda: Database.write(self, work, durable=False))


class SteppedDriver(FilesystemDriver):
    """A driver whose calls are steps."""

    world: World

    async def write(self, path: str, content: bytes) -> None:
        await self.world.step(lambda: FilesystemDriver.write(self, path, content))

    async def publish(self, staged: Any, path: str) -> None:
        await self.world.step(lambda: FilesystemDriver.publish(self, staged, path))

    async def delete(self, path: str) -> None:
        call = object()
        self.world.limits[call] = self.world.now + LONGEST_DELETE
        try:
            await self.world.step(lambda: FilesystemDriver.delete(self, path))
        finally:
            del self.world.limits[call]

    async def list(self, prefix: str) -> AsyncGenerator[Entry, None]:
        entries = [entry async for entry in FilesystemDriver.list(self, prefix)]
        self.world.chance.shuffle(entries)
        for entry in entries:
            yield entry
