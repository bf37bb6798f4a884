"""Settings of the job queue."""

from typing import Annotated

from pydantic import Field

from longshore.config.quantities import Seconds
from longshore.config.section import Section, setting

_Poll = Annotated[Seconds, Field(ge=0.05, le=60)]
_Lease = Annotated[Seconds, Field(ge=1, le=24 * 3600)]
_Period = Annotated[Seconds, Field(gt=0)]


class JobsSettings(Section):
    key = "longshore.jobs"

    enabled: bool = setting(
        True,
        "Work on jobs in this server. Where it is off they wait for another one, or for a "
        "`longshore worker`, which works whatever this says.",
    )
    parallel: Annotated[int, Field(ge=1, le=1000)] = setting(
        4, "How many jobs a process works on at a time."
    )
    lease: _Lease = setting(
        60.0, "How long a job belongs to a worker that no longer says that it is at work."
    )
    poll: _Poll = setting(1.0, "How often an idle worker looks for jobs.")
    retention: _Period = setting(168 * 3600.0, "How long jobs that are done or cancelled are kept.")
    deadretention: _Period = setting(720 * 3600.0, "How long jobs that failed for good are kept.")
