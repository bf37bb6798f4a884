"""When something comes back, as a person writes it in config.yml.

``24h`` is every multiple of a day since 1970, which is midnight in UTC. ``0 3 * * *`` is a cron
expression: minute, hour, day of the month, month, day of the week, as Debian's cron reads them; six
fields begin with the second. ``@daily`` and its like are the usual names. A cron expression is told in
UTC unless it begins with ``CRON_TZ=Europe/Berlin`` or another name of the time zone database.

A setting of this kind is ``schedule: Recurring | None = setting(None, "...")``.
"""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from longshore.config.quantities import Written, format_duration, parse_duration

_ZONE: Final = ("CRON_TZ=", "TZ=")
_NAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Recurrence(Protocol):
    """The moments at which something is due. ``str`` of it is what to write in config.yml."""

    def after(self, now: float) -> float:
        """The first of them after ``now``; both in POSIX seconds."""


@dataclass(frozen=True, slots=True)
class Every:
    """Every multiple of ``seconds`` since 1970."""

    seconds: float

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError("an interval must be longer than 0s")

    def after(self, now: float) -> float:
        """See :class:`Recurrence`."""
        return (math.floor(now / self.seconds) + 1) * self.seconds

    def __str__(self) -> str:
        return format_duration(self.seconds)


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron ``expression`` with an optional zone, or one of the names with ``@``.

    Clocks that are set forward or back: a time of day that is left out is made up for at once, one that
    comes twice counts once; what runs every hour or more often follows the clock.
    """

    expression: str
    _fields: str = field(init=False, compare=False, repr=False)
    _zone: tzinfo = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        fields, zone = _parts(self.expression)
        object.__setattr__(self, "_fields", fields)
        object.__setattr__(self, "_zone", zone)
        try:
            # From a fixed day, so that the same text is always valid or never.
            next(CronSim(fields, datetime(2024, 1, 1, tzinfo=zone)))
        except CronSimError as error:
            raise ValueError(
                f"{self.expression!r} is no cron expression ({str(error).lower()}); write minute, "
                "hour, day of the month, month and day of the week, such as 0 3 * * *"
            ) from None
        except StopIteration:
            raise ValueError(f"{self.expression!r} names a day that never comes") from None

    def after(self, now: float) -> float:
        """See :class:`Recurrence`."""
        for moment in CronSim(self._fields, datetime.fromtimestamp(now, self._zone)):
            # When the clock was just set back, the same time of day may have been before.
            if (found := moment.timestamp()) > now:
                return found
        raise AssertionError("checked when it was made")

    def __str__(self) -> str:
        return self.expression


def _parts(expression: str) -> tuple[str, tzinfo]:
    """Five or six fields, and the zone that they are told in."""
    zone: tzinfo = UTC
    rest = expression.strip()
    if rest.startswith(_ZONE):
        name, _, rest = rest.partition("=")[2].partition(" ")
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"{name!r} is no time zone; write a name such as Europe/Berlin, or UTC"
            ) from None
        rest = rest.strip()
    if rest.startswith("@"):
        if rest not in _NAMES:
            raise ValueError(f"{rest!r} is not known; there are: {', '.join(_NAMES)}")
        rest = _NAMES[rest]
    return rest, zone


def parse_recurrence(text: str) -> Every | Cron:
    """An interval or a cron expression. Raises ValueError, which says what to write instead."""
    stripped = text.strip()
    if len(stripped.split()) > 1 or stripped.startswith("@"):
        return Cron(stripped)
    try:
        seconds = parse_duration(stripped)
    except ValueError:
        raise ValueError(
            f"{text!r} is no schedule; write a cron expression such as 0 3 * * *, a name such as "
            "@daily, or an interval such as 24h"
        ) from None
    return Every(seconds)


def _recurrence(value: Any) -> Every | Cron:
    if isinstance(value, Every | Cron):
        return value
    return parse_recurrence(value if isinstance(value, str) else repr(value))


#: A field that says when something comes back.
Recurring = Annotated[
    Every | Cron,
    PlainValidator(_recurrence),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
    Written("schedule"),
]
