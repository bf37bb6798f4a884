"""Settings of online garbage collection."""

from typing import Annotated

from pydantic import Field

from longshore.config.quantities import Seconds
from longshore.config.recurrence import Recurring
from longshore.config.section import Section, setting

_Lease = Annotated[Seconds, Field(ge=60, le=30 * 24 * 3600)]


class CollectionSettings(Section):
    key = "longshore.gc"

    schedule: Recurring | None = setting(
        None, "When unused bytes are collected while the registry runs; nothing: only when asked."
    )
    lease: _Lease = setting(
        2 * 3600.0, "How long something must have been unused before it goes: longer than a push."
    )
    deleteuntagged: bool = setting(
        False, "Manifests that no tag reaches, also not through an index or a subject, go too."
    )
    rate: Annotated[float, Field(ge=0)] = setting(
        1000.0,
        "Rows and objects it changes a second; it rests three times as long as it reads. 0: no pauses.",
    )
