"""What moves on when something was committed: what was read before is true while it stands still."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Generation:
    """Numbers of one process that only grow: ``data`` with any commit of anybody, the others at least with one that
    changes what says who may do what, which ``manifests`` and tags repositories have, or which ``blobs``
    (``longshore.db.schema.GENERATIONS``). What was read after a generation was asked for is true for
    whoever finds the same number later."""

    data: int = 0
    rights: int = 0
    manifests: int = 0
    blobs: int = 0


class Shared(Generic[T]):
    """Answers, each for everybody who asked before its question was sent.

    Who asks while a question is on its way waits for the next one: its answer may be from before they
    asked, and leave out what was committed in between. Belongs to one event loop.
    """

    def __init__(self, send: Callable[[], None]) -> None:
        """``send`` sends a question, whose answer is given to :meth:`answered` then or later."""
        self._send = send
        self._sent: list[asyncio.Future[T]] = []
        self._waiting: list[asyncio.Future[T]] = []
        self.under_way = False

    def ask(self) -> "asyncio.Future[T]":
        """The answer to a question that is sent from now on. Cancelling it concerns nobody else."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if not self.under_way:
            self._next()
        return future

    def answered(self, answer: T) -> None:
        """The answer to the question that is under way."""
        sent, self._sent = self._sent, []
        self.under_way = False
        for future in sent:
            if not future.done():
                future.set_result(answer)
        if self._waiting:
            self._next()

    def _next(self) -> None:
        self._sent, self._waiting = self._waiting, []
        self.under_way = True
        self._send()
