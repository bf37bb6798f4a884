"""What every driver of a service promises when the way to the service breaks.

    class TestMyFaults(FaultContract):
        busy = (Refusal(503, b"..."), Refusal(429, b"..."), Refusal(500, b"..."))

        @pytest.fixture
        def service(self) -> Address: ...          # where the service really is

        async def connect(self, address: str) -> StorageDriver: ...    # opened, not guarded

The driver's time-out for one answer should be about a second here, and its waits between attempts
much shorter. The service may be shared; what lies below ``/faults`` is removed.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import pytest

from longshore.storage.driver import (
    AbandonedUploads,
    PathNotFound,
    Staged,
    StorageDriver,
    StorageError,
    StorageUnavailable,
)
from longshore.telemetry import clock
from longshore.testing.faulty_proxy import Fault, FaultyProxy, Refusal
from longshore.testing.storage_fixtures import MIB, content, pieces, recorded, stage

Address = tuple[str, int]

#: Whatever fails must have failed within this (seconds), and no call may hang longer.
DEADLINE: Final = 45
BROKEN: Final = (
    Fault.RESET,
    Fault.RESET_IN_REQUEST,
    Fault.LOSE_ANSWER,
    Fault.RESET_IN_ANSWER,
    Fault.CUT_ANSWER,
)
SLOW: Final = (Fault.HANG, Fault.HANG_IN_ANSWER)


@contextmanager
def _noted(what: str) -> Iterator[None]:
    """Errors say which of several cases they are of."""
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        raise


@dataclass
class Case:
    """A call of the driver: ``prepare`` what it needs, make it, and ``check`` what became of it."""

    prepare: Callable[[StorageDriver, bytes], Awaitable[Staged]]
    act: Callable[[StorageDriver, Staged, bytes], Coroutine[Any, Any, object]]
    check: Callable[[StorageDriver, Staged, bytes, object], Awaitable[None]]


def _path(staged: Staged) -> str:
    return f"/faults/{staged.upload}/data"


async def _nothing(driver: StorageDriver, body: bytes) -> Staged:
    return Staged(f"faults-{uuid.uuid4().hex}")


async def _written(driver: StorageDriver, body: bytes) -> Staged:
    staged = await _nothing(driver, body)
    await driver.write(_path(staged), body)
    return staged


async def _staged(driver: StorageDriver, body: bytes) -> Staged:
    return await stage(driver, f"faults-{uuid.uuid4().hex}", body)


async def _staged_twice(driver: StorageDriver, body: bytes) -> Staged:
    return await stage(driver, f"faults-{uuid.uuid4().hex}", body, b"and more")


async def _is_stored(driver: StorageDriver, staged: Staged, body: bytes, _: object) -> None:
    assert await content(driver.stream(_path(staged))) == body


async def _is_stored_twice(driver: StorageDriver, staged: Staged, body: bytes, _: object) -> None:
    assert await content(driver.stream(_path(staged))) == body + b"and more"


async def _was_read(_d: StorageDriver, _s: Staged, body: bytes, got: object) -> None:
    assert got == body


async def _is_staged(driver: StorageDriver, _: Staged, body: bytes, got: object) -> None:
    assert isinstance(got, Staged)
    assert await content(driver.staged_stream(recorded(got))) == body


async def _is_gone(driver: StorageDriver, staged: Staged, _b: bytes, _: object) -> None:
    with pytest.raises(PathNotFound):
        await driver.stat(_path(staged))


async def _listed(driver: StorageDriver, staged: Staged, _: bytes) -> object:
    return [entry.path async for entry in driver.list(f"/faults/{staged.upload}")]


async def _was_listed(_d: StorageDriver, staged: Staged, _: bytes, got: object) -> None:
    assert got == [_path(staged)]


async def _size(driver: StorageDriver, staged: Staged, body: bytes, got: object) -> None:
    assert got == len(body)


async def _stat(driver: StorageDriver, staged: Staged, _: bytes) -> object:
    return (await driver.stat(_path(staged))).size


CASES: Final = {
    "write": Case(_nothing, lambda d, s, b: d.write(_path(s), b), _is_stored),
    "read": Case(_written, lambda d, s, b: d.read(_path(s)), _was_read),
    "stream": Case(_written, lambda d, s, b: content(d.stream(_path(s))), _was_read),
    "stat": Case(_written, _stat, _size),
    "list": Case(_written, _listed, _was_listed),
    "delete_tree": Case(_written, lambda d, s, b: d.delete_tree(f"/faults/{s.upload}"), _is_gone),
    "append": Case(_nothing, lambda d, s, b: d.append(s, pieces(b)), _is_staged),
    "publish": Case(_staged, lambda d, s, b: d.publish(s, _path(s)), _is_stored),
    "publish two parts": Case(
        _staged_twice, lambda d, s, b: d.publish(s, _path(s)), _is_stored_twice
    ),
}
#: The calls that send or fetch many bytes, for which a large body is worth its time.
LARGE: Final = ("stream", "append", "publish two parts")
#: A deletion that the service has made already is not there to be found when it is repeated.
_SMALL: Final = b"small content"


class FaultContract:
    """Each test is a promise."""

    pytestmark = pytest.mark.anyio

    #: What the service says when it is busy or broken for a moment.
    busy: Sequence[Refusal] = (Refusal(503), Refusal(429), Refusal(500))
    #: How large "large" is in bytes: more than one part of an upload.
    large = 6 * MIB
    #: Requests that one failing call may make at most, repetitions included.
    most_requests = 40

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def service(self) -> Address:
        """Where the service really is."""
        raise NotImplementedError("the class that runs the contract says where its service is")

    async def connect(self, address: str) -> StorageDriver:
        """The driver under test, opened, with its service at ``address`` (``host:port``)."""
        raise NotImplementedError("the class that runs the contract connects its driver")

    @pytest.fixture
    def patience(self, request: pytest.FixtureRequest) -> float:
        """How many seconds the driver is to wait for an answer: few only where none comes."""
        parameters = getattr(request.node, "callspec", None)
        fault = parameters.params.get("fault") if parameters else None
        hangs = fault in SLOW or "never_answers" in request.function.__name__
        return 1.0 if hangs else 10.0

    @pytest.fixture
    async def proxy(self, service: Address) -> AsyncIterator[FaultyProxy]:
        async with FaultyProxy(*service) as proxy:
            yield proxy

    @pytest.fixture
    async def driver(self, proxy: FaultyProxy) -> AsyncIterator[StorageDriver]:
        driver = await self.connect(proxy.address)
        yield driver
        proxy.mend()
        for upload in [upload async for upload, _ in driver.list_staged()]:
            await driver.discard(upload)
        await driver.delete_tree("/faults")
        if isinstance(driver, AbandonedUploads):
            await driver.remove_abandoned(clock.timestamp() + 3600)
        await driver.close()

    def body(self, case: str) -> bytes:
        """What a case stores."""
        return bytes(range(256)) * (self.large // 256) if case in LARGE else _SMALL

    async def requests(self, proxy: FaultyProxy, driver: StorageDriver, name: str) -> int:
        """How many requests a call makes when nothing is broken."""
        case, body = CASES[name], self.body(name)
        proxy.mend()
        staged = await case.prepare(driver, body)
        proxy.mend()
        await case.act(driver, staged, body)
        return len(proxy.requests)

    async def recovers(
        self,
        proxy: FaultyProxy,
        driver: StorageDriver,
        name: str,
        fault: Fault,
        *,
        skip: int = 0,
        times: int = 1,
        refusal: Refusal | None = None,
    ) -> None:
        """The call succeeds though some of its requests meet the fault."""
        case, body = CASES[name], self.body(name)
        proxy.mend()
        staged = await case.prepare(driver, body)
        proxy.inject(fault, skip=skip, times=times, refusal=refusal)
        with _noted(f"{name}: {fault.name} at request {skip}"):
            async with asyncio.timeout(DEADLINE):
                got = await case.act(driver, staged, body)
            assert proxy.hits <= times
            proxy.mend()
            await case.check(driver, staged, body, got)

    @pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.name)
    async def test_a_connection_that_breaks_at_any_request_does_no_harm(
        self, proxy: FaultyProxy, driver: StorageDriver, fault: Fault
    ) -> None:
        for name in CASES:
            for skip in range(await self.requests(proxy, driver, name)):
                await self.recovers(proxy, driver, name, fault, skip=skip)

    @pytest.mark.parametrize("fault", SLOW, ids=lambda fault: fault.name)
    async def test_an_answer_that_does_not_come_is_waited_for_once(
        self, proxy: FaultyProxy, driver: StorageDriver, fault: Fault
    ) -> None:
        for name in ("write", "stream", "publish"):
            await self.recovers(proxy, driver, name, fault)

    async def test_a_service_that_is_busy_for_a_moment_is_asked_again(
        self, proxy: FaultyProxy, driver: StorageDriver
    ) -> None:
        for name in CASES:
            for refusal in self.busy:
                await self.recovers(proxy, driver, name, Fault.REFUSE, times=2, refusal=refusal)

    @pytest.mark.parametrize("fault", [*BROKEN, Fault.REFUSE], ids=lambda fault: fault.name)
    async def test_a_service_that_stays_away_is_told_in_time_and_found_again(
        self, proxy: FaultyProxy, driver: StorageDriver, fault: Fault
    ) -> None:
        for name, case in CASES.items():
            body = self.body(name)
            proxy.mend()
            staged = await case.prepare(driver, body)
            proxy.inject(fault, refusal=self.busy[0])
            with _noted(name):
                with pytest.raises(StorageUnavailable) as caught:
                    await asyncio.wait_for(case.act(driver, staged, body), DEADLINE)
                assert 1 < proxy.hits <= self.most_requests
                assert caught.value.driver == driver.name
                proxy.mend()
                got = await case.act(driver, staged, body)
                await case.check(driver, staged, body, got)

    async def test_a_service_that_never_answers_is_told_in_time(
        self, proxy: FaultyProxy, driver: StorageDriver
    ) -> None:
        proxy.inject(Fault.HANG)
        with pytest.raises(StorageUnavailable):
            async with asyncio.timeout(DEADLINE):
                await driver.write("/faults/hanging", b"content")
        assert 1 < proxy.hits <= self.most_requests

    @pytest.mark.parametrize(
        "fault", [Fault.RESET_IN_REQUEST, Fault.LOSE_ANSWER], ids=lambda fault: fault.name
    )
    async def test_a_service_that_goes_away_at_any_request_of_a_push_leaves_all_or_nothing(
        self, proxy: FaultyProxy, driver: StorageDriver, fault: Fault
    ) -> None:
        body = self.body("append")
        rest = b"and more"

        async def push(path: str) -> None:
            staged = recorded(await driver.append(Staged(f"faults-{skip}"), pieces(body)))
            staged = recorded(await driver.append(staged, pieces(rest)))
            await driver.publish(staged, path)

        skip = 0
        while True:
            proxy.inject(fault, skip=skip)
            acknowledged = False
            with suppress(StorageError):
                async with asyncio.timeout(DEADLINE):
                    await push(f"/faults/{skip}")
                acknowledged = True
            broken = proxy.hits
            proxy.mend()
            try:
                got = await content(driver.stream(f"/faults/{skip}"))
            except PathNotFound:
                assert not acknowledged
            else:
                assert got == body + rest
            if not broken:
                assert acknowledged
                return
            await push(f"/faults/{skip}")
            assert await content(driver.stream(f"/faults/{skip}")) == body + rest
            skip += 1

    @pytest.mark.parametrize(
        "fault",
        [Fault.RESET_IN_ANSWER, Fault.CUT_ANSWER, Fault.HANG_IN_ANSWER],
        ids=lambda fault: fault.name,
    )
    async def test_an_object_that_ends_early_is_never_taken_for_whole(
        self, proxy: FaultyProxy, driver: StorageDriver, fault: Fault
    ) -> None:
        body = self.body("stream")
        await driver.write("/faults/object", body)
        for start in (0, len(body) // 2) if fault is not Fault.HANG_IN_ANSWER else (0,):
            proxy.inject(fault, concerns=lambda method, target: method == "GET")
            got = bytearray()

            async def read(first: int, into: bytearray) -> None:
                async for piece in driver.stream("/faults/object", first):
                    into += piece

            with pytest.raises(StorageUnavailable):
                await asyncio.wait_for(read(start, got), DEADLINE)
            assert len(got) < len(body) - start
            assert body[start:].startswith(got)
            proxy.mend()
        assert await content(driver.stream("/faults/object")) == body
