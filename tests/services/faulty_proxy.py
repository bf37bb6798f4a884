"""The proxy that breaks connections, beside a test that waits for other programs."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from longshore.testing.faulty_proxy import FaultyProxy

StartProxy = Callable[[str], FaultyProxy]


@contextmanager
def running(host: str, port: int) -> Iterator[FaultyProxy]:
    """A proxy on an event loop of its own, in a thread."""
    proxy = FaultyProxy(host, port)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="faulty proxy")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result(10)
        yield proxy
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def faulty_proxy() -> Iterator[StartProxy]:
    """Starts a proxy before the service at ``host:port``."""
    with ExitStack() as stack:

        def start(address: str) -> FaultyProxy:
            host, _, port = address.partition(":")
            return stack.enter_context(running(host, int(port)))

        yield start
