"""Settings of events."""

from typing import Annotated

from pydantic import Field

from longshore.config.quantities import Seconds
from longshore.config.section import Section, setting


class EventsSettings(Section):
    key = "longshore.events"

    retention: Annotated[Seconds, Field(gt=0)] = setting(
        168 * 3600.0,
        "How long an event is kept for a listener that cannot be told of it; then it is dropped, but never "
        "one for the audit log.",
    )
