"""Who is refused, and what they are told.

A limit is compared with what the transaction has made of the totals, when everything it writes is
written and the totals are held: so several pushes at once never overshoot. Before that, room is kept for
uploads as soon as it is known how much they bring, so that few bytes travel in vain.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from longshore.db.database import Connection, Database
from longshore.oci.errors import Denied
from longshore.oci.names import RepositoryName
from longshore.outbox.deferred import DeferredOutbox
from longshore.outbox.model import Origin
from longshore.outbox.recording import Outbox
from longshore.quotas import store
from longshore.quotas.events import QuotaExceeded, QuotaWarning
from longshore.quotas.model import Defaults, Resource, Usage
from longshore.registry.model import Upload
from longshore.registry.policy import Push
from longshore.telemetry import clock

#: Repositories that a refusal names.
_NAMED: Final = 3
#: For how long what is largest is not asked again, in seconds, and of how many projects.
_FRESH: Final = 30.0
_KEPT: Final = 1000

#: What counts now, as a transaction sees it.
DefaultsNow = Callable[[Connection], Defaults]


class QuotaRefused(Denied):
    """Something does not fit. ``message`` is completed by :meth:`QuotaGate.explain`."""

    def __init__(
        self,
        repository: RepositoryName,
        project: str,
        resource: Resource,
        used: Usage,
        more: int,
        hard: int,
    ) -> None:
        self.repository, self.project = repository, project
        self.resource, self.used, self.more, self.hard = resource, used, more, hard
        super().__init__(_sentence(self), detail=self._detail())

    def _detail(self) -> dict[str, object]:
        return {
            "project": self.project,
            "resource": str(self.resource),
            "used": self.used.of(self.resource),
            "reserved": self.used.reserved if self.resource is Resource.STORAGE else 0,
            "asked": self.more,
            "limit": self.hard,
        }

    def completed(self, largest: Sequence[tuple[str, int]]) -> "QuotaRefused":
        """The same, saying what is largest: repositories with their bytes."""
        complete = QuotaRefused(
            self.repository, self.project, self.resource, self.used, self.more, self.hard
        )
        named = ", ".join(f"{name} {Resource.STORAGE.shown(size)}" for name, size in largest)
        if named:
            complete.message = f"{self.message}. Largest: {named}"
        complete.message += (
            ". Delete what is not needed (`longshore du`), or ask an administrator for more room"
        )
        complete.detail = {**self._detail(), "largest": [list(entry) for entry in largest]}
        return complete


def _sentence(refusal: QuotaRefused) -> str:
    resource, used, hard = refusal.resource, refusal.used, refusal.hard
    shown = partial(resource.shown)
    held = f"{shown(used.of(resource))} of {shown(hard)} used"
    if resource is Resource.STORAGE:
        if used.reserved:
            held += f" ({shown(used.reserved)} of it by uploads under way)"
        asked = f"{shown(refusal.more)} more do not fit" if refusal.more else "nothing more fits"
        return f"the storage quota of project {refusal.project!r} is exceeded: {held}, {asked}"
    return (
        f"the quota of {resource} of project {refusal.project!r} is exceeded: {held}, "
        f"{refusal.more} more do not fit"
    )


@dataclass(frozen=True, slots=True)
class QuotaGate:
    """A registry.policy.StorageGate. ``defaults`` says what counts where nothing was set."""

    database: Database
    defaults: DefaultsNow
    outbox: Outbox
    deferred: DeferredOutbox
    largest: "LargestRepositories"

    def begin(self, connection: Connection, repository: RepositoryName) -> None:
        """Raises QuotaRefused when the project is full."""
        found = self._standing(connection, repository)
        if found is None:
            return
        hard = found.limits[Resource.STORAGE].hard
        if hard >= 0 and found.usage.of(Resource.STORAGE) >= hard:
            raise QuotaRefused(repository, found.project, Resource.STORAGE, found.usage, 0, hard)

    def expect(self, connection: Connection, upload: Upload, total: int) -> int | None:
        """See StorageGate."""
        found = self._standing(connection, upload.repository)
        if found is None:
            return None
        hard = found.limits[Resource.STORAGE].hard
        if hard < 0:
            return None
        usage, own = store.lock(connection, found.project), store.reserved(connection, upload.id)
        others = usage.of(Resource.STORAGE) - own
        if others + total > hard:
            usage = Usage(usage.storage, usage.reserved - own)
            raise QuotaRefused(
                upload.repository, found.project, Resource.STORAGE, usage, total, hard
            )
        if total != own:
            store.reserve(connection, upload.id, found.project, total)
        return hard - others

    def watch(
        self, connection: Connection, repository: RepositoryName, push: Push | None
    ) -> "Watch | None":
        """See StorageGate."""
        found = self._standing(connection, repository)
        if found is None:
            return None
        return Watch(self.outbox, connection, repository, found, push)

    def _standing(
        self, connection: Connection, repository: RepositoryName
    ) -> store.Standing | None:
        """How its project stands; None when there is none, or no quota counts."""
        defaults = self.defaults(connection)
        return store.standing(connection, repository, defaults) if defaults.enforced else None

    async def explain(self, refusal: Denied, origin: Origin, reference: str) -> Denied:
        """See StorageGate."""
        if not isinstance(refusal, QuotaRefused):
            return refusal
        complete = refusal.completed(await self.largest.of(refusal.project))
        self.deferred.tell(
            QuotaExceeded(
                at=clock.timestamp(),
                origin=origin,
                project=refusal.project,
                repository=refusal.repository,
                resource=str(refusal.resource),
                used=refusal.used.of(refusal.resource),
                asked=refusal.more,
                limit=refusal.hard,
                reference=reference,
                details=complete.message,
            )
        )
        return complete


@dataclass(frozen=True, slots=True)
class Watch:
    """A registry.policy.Settlement: how the project stood before."""

    outbox: Outbox
    connection: Connection
    repository: RepositoryName
    found: store.Standing
    push: Push | None

    def settle(self) -> Sequence[str]:
        """Raises QuotaRefused if the transaction adds what exceeds a limit. What was over it before may
        stay, and so may what adds nothing, such as a tag that moves."""
        project = self.found.project
        before, after = store.settle(self.connection, self.found)
        for resource, limit in self.found.limits.items():
            more = after.of(resource) - before.of(resource)
            if 0 <= limit.hard < after.of(resource) and more > 0:
                raise QuotaRefused(self.repository, project, resource, before, more, limit.hard)
        return self._warn(after) if self.push else ()

    def _warn(self, usage: Usage) -> list[str]:
        texts: list[str] = []
        for resource, limit in self.found.limits.items():
            used = usage.of(resource)
            if limit.soft < 0 or used < limit.soft or not self.push:
                continue
            most = f", {resource.shown(limit.hard)} at most" if limit.hard >= 0 else ""
            text = (
                f"project {self.found.project} uses {resource.shown(used)} of its {resource} quota: "
                f"more than {resource.shown(limit.soft)}{most}"
            )
            texts.append(text)
            warning = QuotaWarning(
                at=clock.timestamp(),
                origin=self.push.origin,
                project=self.found.project,
                repository=self.repository,
                digest=self.push.digest,
                tags=tuple(self.push.tags),
                resource=str(resource),
                used=used,
                limit=limit.soft,
                details=text,
            )
            self.outbox.append(self.connection, [warning])
        return texts


class LargestRepositories:
    """What takes most of a project, remembered shortly: whoever is refused tries again at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: dict[str, tuple[float, Sequence[tuple[str, int]]]] = {}

    async def of(self, project: str) -> Sequence[tuple[str, int]]:
        """The largest repositories of the project, with their bytes."""
        now = time.monotonic()
        known = self._found.get(project)
        if known is not None and now - known[0] < _FRESH:
            return known[1]
        work = partial(store.largest, project=project, limit=_NAMED)
        found = await self._database.read(work)
        if found:  # what is empty now is being pushed to: the next who is refused is told of it
            if len(self._found) >= _KEPT:
                self._found.clear()
            self._found[project] = (now, found)
        return found
