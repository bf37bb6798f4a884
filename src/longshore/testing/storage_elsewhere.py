"""What every storage driver promises to other processes, also when one of them is killed.

A driver's test class says with ``elsewhere`` how another process opens the same medium:

    elsewhere_opener = "tests.storage.test_mine:opened"   # async def opened(argument: str)

    @pytest.fixture
    def elsewhere(self) -> str: ...                        # the argument
"""

import asyncio
import json
import sys
from typing import Any

import pytest

from longshore.storage.driver import AbandonedUploads, Staged, StorageDriver
from longshore.telemetry import clock
from longshore.testing.storage_fixtures import MIB, StorageDriverFixtures, pieces, recorded
from longshore.testing.storage_process import pattern

_MODULE = "longshore.testing.storage_process"


class ElsewhereContract(StorageDriverFixtures):
    """Each test is a promise."""

    #: What opens the driver in another process: ``module:function``.
    elsewhere_opener: str
    #: The most memory that a process may have that stores three gigabytes and reads them (bytes).
    resident = 400 * MIB

    @pytest.fixture
    def elsewhere(self) -> str:
        """The argument with which another process opens the driver."""
        raise NotImplementedError("the class that runs the contract says how to open its driver")

    async def start(self, elsewhere: str, *words: object) -> asyncio.subprocess.Process:
        """Another process that does something; what it says is to be read."""
        command = (sys.executable, "-m", _MODULE, self.elsewhere_opener, elsewhere)
        return await asyncio.create_subprocess_exec(
            *command, *map(str, words), stdout=asyncio.subprocess.PIPE
        )

    async def said(self, process: asyncio.subprocess.Process) -> Any:
        """What it says next."""
        assert process.stdout
        return json.loads(await process.stdout.readline())

    async def test_an_upload_goes_on_in_other_processes(
        self, driver: StorageDriver, elsewhere: str
    ) -> None:
        staged = recorded(await driver.append(Staged("travels"), pieces(b"begun here ")))
        for _ in range(2):
            state = json.dumps(dict(staged.state))
            other = await self.start(elsewhere, "append", "travels", staged.size, state, 70_000)
            size, state = await self.said(other)
            assert await other.wait() == 0
            staged = Staged("travels", size, state)
        staged = recorded(await driver.append(staged, pieces(b" ended here")))
        await driver.publish(staged, "/contract/travelled")
        middle = b"".join([piece async for piece in pattern(70_000)])
        got = await driver.read("/contract/travelled")
        assert got == b"begun here " + middle + middle + b" ended here"

    @pytest.mark.parametrize("sent", [0, 3 * MIB, 18 * MIB])
    async def test_what_a_killed_process_was_sending_is_invisible_and_can_be_removed(
        self, driver: StorageDriver, elsewhere: str, sent: int
    ) -> None:
        staged = recorded(await driver.append(Staged("alive"), pieces(b"of another upload")))
        killed = await self.start(elsewhere, "hang", "killed", sent)
        assert await self.said(killed) == "sent"
        await asyncio.sleep(0.2)  # the last of it may be on its way
        killed.kill()
        await killed.wait()

        # An upload of that name that begins again does not see any of it.
        again = recorded(await driver.append(Staged("killed"), pieces(b"again")))
        await driver.publish(again, "/contract/again")
        assert await driver.read("/contract/again") == b"again"
        if isinstance(driver, AbandonedUploads):
            assert await driver.remove_abandoned(clock.timestamp() - 3600) == 0  # too young
            assert await driver.remove_abandoned(clock.timestamp() + 3600) <= 1
            assert await driver.remove_abandoned(clock.timestamp() + 3600) == 0
        assert [upload async for upload, _ in driver.list_staged()] == ["alive"]
        await driver.publish(staged, "/contract/alive")
        assert await driver.read("/contract/alive") == b"of another upload"

    @pytest.mark.large
    @pytest.mark.timeout(1800)
    async def test_an_object_of_three_gigabytes_takes_little_memory(
        self, driver: StorageDriver, elsewhere: str
    ) -> None:
        size = 3 << 30
        other = await self.start(elsewhere, "large", "large", "/contract/large", size)
        same, peak = await self.said(other)
        assert await other.wait() == 0
        assert same
        assert peak < self.resident, f"{peak >> 20} MiB"
        assert (await driver.stat("/contract/large")).size == size
        last = [piece async for piece in driver.stream("/contract/large", size - 8)]
        assert b"".join(last) == (size // MIB - 1).to_bytes(8, "big")
