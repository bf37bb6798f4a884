"""What a job is, and what does it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from longshore.db.database import Connection


class Status(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    #: It failed for good, or too often; somebody must look.
    DEAD = "dead"
    CANCELLED = "cancelled"


#: A job in one of these may still run.
LIVE: Final = (Status.QUEUED, Status.RUNNING)
#: Most lines that are kept of a job's log; older ones go.
LOG_LINES: Final = 1000
#: Most characters of one line, and of an error.
LINE_LENGTH: Final = 2000
#: After which pauses grow no more, whatever they began with: three centuries at a second each.
_DOUBLINGS: Final = 33


class JobFailed(Exception):
    """Raised by a task: this job cannot succeed, so do not try again. The message is the reason."""


class Postponed(Exception):
    """Raised by a task: not now, but again in ``seconds``, as often as it takes. The message is the
    reason; unlike a failure it costs no attempt."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds = seconds


class JobConflict(Exception):
    """What was asked of a job does not go with its status; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the queue. Times are POSIX seconds; ``attempt`` counts from 1 once it runs, and
    ``token`` grows with every claim: who holds an older one holds nothing."""

    id: int
    kind: str
    key: str | None
    payload: Mapping[str, Any]
    status: Status
    attempt: int
    run_at: float
    token: int
    holder: str | None
    lease_until: float | None
    cancel_at: float | None
    progress_done: int | None
    progress_total: int | None
    progress_message: str | None
    checkpoint: Any
    error: str | None
    created_at: float
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True, slots=True)
class SetSchedule:
    """When jobs of ``kind`` come back, as administrators said while the registry ran: whatever config.yml says.
    An empty ``cron``: never. Times are POSIX seconds."""

    kind: str
    cron: str
    payload: Mapping[str, Any]
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: ``done`` of ``total`` (None: nobody knows) of whatever it counts."""

    done: int
    total: int | None
    message: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a job wrote, at POSIX seconds ``at``."""

    at: float
    line: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """Jobs of one kind: how many could run now and were not begun, for how many seconds the ``oldest``
    of them could have, how many run, and how many failed for good and are kept."""

    waiting: int
    oldest: float
    running: int
    dead: int


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A failed attempt is repeated after ``first`` seconds, then twice that and so on up to
    ``longest``, less up to half by chance; ``attempts`` in all."""

    attempts: int = 8
    first: float = 10.0
    longest: float = 3600.0

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait after failed attempt ``attempt`` (from 1); ``chance`` is 0 to 1."""
        # Some jobs fail for months, a thousand times: 2.0**1024 is more than a float holds.
        doublings = min(attempt - 1, _DOUBLINGS)
        return min(self.longest, self.first * 2.0**doublings) * (1 - chance / 2)


def kept_line(text: str) -> str:
    """``text`` as both databases keep it: no NUL, nothing that is no UTF-8 (as names of files may be), not longer
    than LINE_LENGTH."""
    kept = text[:LINE_LENGTH].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return kept.encode("utf-8", "replace").decode("utf-8")


class JobContext(Protocol):
    """What a running job is given. Each method raises CancelledError when the job has been taken
    over by somebody else meanwhile."""

    @property
    def job(self) -> Job:
        """As it was when this attempt began."""

    @property
    def state(self) -> Any:
        """The JSON of the last checkpoint, of whichever attempt; None if there was none."""

    async def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """Say how far it is. Cheap: written about once a second."""

    async def log(self, line: str) -> None:
        """Write a line for people, kept with the job; the newest LOG_LINES are."""

    async def checkpoint(self, state: Any) -> None:
        """Remember ``state`` (JSON) for the attempt that has to go on from here. Durable."""

    def leave_no_trace(self) -> None:
        """If this attempt succeeds, remove the job instead of keeping it as done: for jobs that come
        so often that nobody would look at them."""


class Source(Protocol):
    """Work that nobody could enqueue where it came up: workers look for it."""

    def wanted(self, connection: Connection) -> Sequence[str]:
        """Kinds of jobs that there should be and are not. Asked at every look at the queue."""

    def enqueue(self, connection: Connection, kind: str) -> None:
        """Add the job of that kind, unless somebody just did."""


class Task(Protocol):
    """What does the jobs of one kind.

    A job runs at least once, and never twice at the same time as long as the task ends within a
    quarter of the lease after CancelledError was raised in it. Work that was done must bear being
    done again.
    """

    @property
    def kind(self) -> str:
        """The name of the kind."""

    @property
    def concurrency(self) -> int:
        """Most jobs of this kind that run at a time, on all nodes together."""

    async def run(self, context: JobContext) -> None:
        """Do the job. Returning means done. Raising means again later, JobFailed never again,
        Postponed again when it says.
        CancelledError arrives at an await when the job was cancelled, its lease cannot be kept, or
        the server stops."""
