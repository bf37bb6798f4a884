"""The SQL of the queue: plain functions on a connection, values in and out.

Whoever works on a job names its id and the token of the claim; a write with an older token changes
nothing and says so. Leases are told by one clock, the database's (SQLite: the machine's), so the
nodes' clocks need not agree.
"""

from longshore.jobs.store.claims import (
    claim as claim,
)
from longshore.jobs.store.claims import (
    claimable as claimable,
)
from longshore.jobs.store.claims import (
    next_event as next_event,
)
from longshore.jobs.store.holding import (
    append_log as append_log,
)
from longshore.jobs.store.holding import (
    end as end,
)
from longshore.jobs.store.holding import (
    heartbeat as heartbeat,
)
from longshore.jobs.store.holding import (
    remove as remove,
)
from longshore.jobs.store.holding import (
    report as report,
)
from longshore.jobs.store.holding import (
    requeue as requeue,
)
from longshore.jobs.store.holding import (
    save_checkpoint as save_checkpoint,
)
from longshore.jobs.store.schedules import (
    find_set_schedule as find_set_schedule,
)
from longshore.jobs.store.schedules import (
    remove_waiting as remove_waiting,
)
from longshore.jobs.store.schedules import (
    set_schedule as set_schedule,
)
from longshore.jobs.store.schedules import (
    set_schedules as set_schedules,
)
from longshore.jobs.store.steering import (
    cancel_job as cancel_job,
)
from longshore.jobs.store.steering import (
    retry_job as retry_job,
)
from longshore.jobs.store.upkeep import (
    backlog as backlog,
)
from longshore.jobs.store.upkeep import (
    delete_jobs as delete_jobs,
)
from longshore.jobs.store.upkeep import (
    outdated as outdated,
)
from longshore.jobs.store.waiting import (
    find_job as find_job,
)
from longshore.jobs.store.waiting import (
    insert_job as insert_job,
)
from longshore.jobs.store.waiting import (
    list_jobs as list_jobs,
)
from longshore.jobs.store.waiting import (
    live_job as live_job,
)
from longshore.jobs.store.waiting import (
    page_of_jobs as page_of_jobs,
)
from longshore.jobs.store.waiting import (
    read_log as read_log,
)
from longshore.jobs.store.waiting import (
    reschedule as reschedule,
)
