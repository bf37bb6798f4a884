"""Settings of scrubbing."""

from typing import Annotated

from pydantic import Field

from longshore.config.quantities import Seconds, Size
from longshore.config.recurrence import Recurring
from longshore.config.section import Section, setting

_Rate = Annotated[Size, Field(ge=0)]
_Interval = Annotated[Seconds, Field(ge=0)]


class ScrubSettings(Section):
    key = "longshore.scrub"

    schedule: Recurring | None = setting(
        None, "When stored bytes are read again and verified; nothing: only when asked."
    )
    rate: _Rate = setting(
        50 << 20, "How many bytes a second it reads at most; 0 is as many as it can."
    )
    interval: _Interval = setting(
        30 * 24 * 3600.0, "What was found sound within this time is not read again."
    )
