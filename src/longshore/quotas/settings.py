"""Settings of quotas."""

from typing import Annotated

from pydantic import Field

from longshore.config.quantities import Size
from longshore.config.recurrence import Every, Recurring
from longshore.config.section import Section, setting

_Size = Annotated[Size, Field(ge=0)]
_Count = Annotated[int, Field(ge=-1)]


class QuotasSettings(Section):
    key = "longshore.quotas"

    storage: _Size = setting(
        0, "Bytes that a project may hold if nothing else was set for it; 0: any number."
    )
    repositories: _Count = setting(
        -1, "Repositories that a project may hold if nothing else was set for it; -1: any number."
    )
    tags: _Count = setting(
        -1, "Tags that a project may hold if nothing else was set for it; -1: any number."
    )
    warning: Annotated[int, Field(ge=0, le=100)] = setting(
        85,
        "The percentage of a limit from which pushes are warned, unless a project has a soft limit.",
    )
    check: Recurring | None = setting(
        Every(24 * 3600.0), "When the totals are compared with the rows; nothing: only when asked."
    )
