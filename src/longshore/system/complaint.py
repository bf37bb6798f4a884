"""Saying what is wrong with settings that are kept here: once, and not with every request that finds it."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from longshore.system.catalogue import Value

logger = logging.getLogger(__name__)

#: Shows a warning under a name for as long as its reason is not empty.
Warn = Callable[[str, str], None]


def unshown(_name: str, _reason: str) -> None:
    """Nobody looks at warnings."""


class Complaint:
    """What is wrong with the keys that begin with ``prefix``, in the log each time that they or it change, and among
    the warnings of /health for as long as it is so. ``reason`` is empty while nothing is wrong."""

    def __init__(self, prefix: str, consequence: str, warn: Warn = unshown) -> None:
        """``consequence`` is a sentence: what does not work then."""
        self._name: Final = f"{prefix}* of /configurations"
        self._consequence: Final = consequence
        self._warn: Final = warn
        self._said: tuple[Mapping[str, Value], str] | None = None
        self.reason = ""

    def is_over(self) -> None:
        """Nothing is wrong."""
        if self._said is not None:
            self._said, self.reason = None, ""
            self._warn(self._name, "")

    def make(self, values: Mapping[str, Value], reason: str) -> None:
        """This is wrong with keys that have these values."""
        if self._said == (values, reason):
            return
        self._said, self.reason = (dict(values), reason), reason
        self._warn(self._name, f"{self._consequence}: {reason}")
        logger.error("%s: %s: %s", self._name, self._consequence, reason)
