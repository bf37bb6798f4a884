"""Reading an object whose connection breaks: from where it broke, as long as it is the same object."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

from longshore.storage.driver import StorageUnavailable

#: Answers that one reading takes at most, when they break off.
_ANSWERS: Final = 4


class Answer(NamedTuple):
    """What the service sends: ``size`` bytes of the object that has this ``tag``."""

    size: int
    tag: str
    pieces: AsyncIterator[bytes]


#: Asks for the object from a byte on; the tag, if there is one, says of which object. Gives None where
#: that byte lies behind the end.
Ask = Callable[[int, str], AbstractAsyncContextManager[Answer | None]]


async def continued(name: str, key: str, ask: Ask, start: int) -> AsyncGenerator[bytes, None]:
    """Everything from byte ``start`` on. Raises what ``ask`` raises, and StorageUnavailable if the
    object ends early although it was asked for again."""
    rest, tag = 0, ""
    for left in reversed(range(_ANSWERS)):
        try:
            async with ask(start, tag) as answer:
                if answer is None:
                    return
                rest, tag, pieces = answer
                async for piece in pieces:
                    start += len(piece)
                    rest -= len(piece)
                    yield piece
        except StorageUnavailable:
            if not (tag and rest and left):
                raise
        else:
            if not rest:
                return
    raise StorageUnavailable(name, key, f"the object ended {rest} bytes early")
