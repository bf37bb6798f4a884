"""Changes to people, permissions and settings: made and told of in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from longshore.db.database import Connection, Database, Work
from longshore.outbox.model import NOBODY, Event, Origin
from longshore.outbox.recording import Outbox
from longshore.telemetry import clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementChange(Event):
    """Somebody did something to ``resource``: a user, a project, a member, a setting.

    ``operation`` is ``create``, ``update``, ``delete``, ``login`` or ``logout``; ``resource_type`` a word such
    as ``project``; ``resource`` its name; ``project`` the name of the project that it belongs to, empty if
    none. ``description`` is a sentence without secrets. ``successful``: false for what was refused.
    """

    kind: ClassVar[str] = "management.changed"

    operation: str
    resource_type: str
    resource: str
    project: str = ""
    description: str = ""
    successful: bool = True


@dataclass(frozen=True, slots=True)
class Changes:
    """How changes are made. One per process."""

    database: Database
    outbox: Outbox

    async def make(
        self,
        work: Work[T],
        operation: str,
        resource_type: str,
        resource: str,
        *,
        project: str = "",
        description: str = "",
        origin: Origin = NOBODY,
    ) -> T:
        """Run ``work`` in a transaction that tells of the change; what it returns. Raises what it does."""

        def told(_: T) -> Sequence[Event]:
            return [
                ManagementChange(
                    at=clock.timestamp(),
                    origin=origin,
                    operation=operation,
                    resource_type=resource_type,
                    resource=resource,
                    project=project,
                    description=description,
                )
            ]

        return await self.telling(work, told)

    async def telling(self, work: Work[T], told: Callable[[T], Sequence[Event]]) -> T:
        """Run ``work`` in a transaction that tells what ``told`` says of its outcome."""

        def run(connection: Connection) -> T:
            outcome = work(connection)
            self.outbox.append(connection, told(outcome))
            return outcome

        return await self.database.write(run)

    async def failed(
        self,
        operation: str,
        resource_type: str,
        resource: str,
        *,
        project: str = "",
        description: str = "",
        origin: Origin = NOBODY,
    ) -> None:
        """Tell of something that was refused."""
        event = ManagementChange(
            at=clock.timestamp(),
            origin=origin,
            operation=operation,
            resource_type=resource_type,
            resource=resource,
            project=project,
            description=description,
            successful=False,
        )
        if self.outbox.wanted(event):
            await self.database.write(lambda connection: self.outbox.append(connection, [event]))
