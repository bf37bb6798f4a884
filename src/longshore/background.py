"""The part of the composition root that concerns work in the background: every kind of job, which of
them come back, and who is told of events."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from longshore.access.settings import AuthSettings
from longshore.adoption.export_task import LinkExport
from longshore.adoption.settings import LinksSettings
from longshore.adoption.task import Adoption
from longshore.audit import install as audit
from longshore.audit.forwarding import AuditForward, Unforwarded
from longshore.audit.forwarding import waiting as unforwarded
from longshore.audit.purge import AuditPurge
from longshore.audit.recording import AuditRecorder
from longshore.audit.retention import AuditRetention
from longshore.audit.sealing import Sealing
from longshore.audit.settings import AuditSettings
from longshore.config.load import Configuration
from longshore.config.recurrence import Every
from longshore.db.database import Database
from longshore.db.encryption import Encryption
from longshore.gc.collection import CollectionOptions
from longshore.gc.settings import CollectionSettings
from longshore.gc.task import CollectionTask
from longshore.identity.changes import ManagementChange
from longshore.identity.settings import TokenServiceSettings
from longshore.jobs import store as job_store
from longshore.jobs.attempt import unobserved
from longshore.jobs.model import Source, Task
from longshore.jobs.schedule import Schedule
from longshore.jobs.settings import JobsSettings
from longshore.jobs.worker import Worker, WorkerOptions
from longshore.notifications.settings import NotificationsSettings
from longshore.outbox import store as outbox_store
from longshore.outbox.delivery import Arrivals, EventDelivery, uncounted
from longshore.outbox.expiry import EventExpiry
from longshore.outbox.model import AnyListener, Closable, Event
from longshore.outbox.recording import Outbox
from longshore.outbox.settings import EventsSettings
from longshore.placement.move import StorageMove
from longshore.placement.removal import SpareCopyRemoval
from longshore.quotas.events import EVENTS as QUOTA_EVENTS
from longshore.quotas.settings import QuotasSettings
from longshore.quotas.task import QuotaCheckTask
from longshore.registry.events import EVENTS
from longshore.registry.expiry import UploadExpiry
from longshore.scrub.settings import ScrubSettings
from longshore.scrub.task import ScrubTask
from longshore.scrub.verification import ScrubOptions
from longshore.storage.backends import Backends
from longshore.storage.settings import BackendsSettings, RedirectRulesSettings, StorageSettings
from longshore.telemetry import clock

if TYPE_CHECKING:
    from longshore.telemetry.metrics import Metrics

#: Every event that may wait in the outbox, under its kind.
_EVENTS: Final[Mapping[str, type[Event]]] = {
    **EVENTS,
    **QUOTA_EVENTS,
    ManagementChange.kind: ManagementChange,
}
#: How often to look for copies of bytes that are not read any more, in seconds.
_REMOVAL: Final = 3600.0


def event_listeners(
    configuration: Configuration, database: Database, backends: Backends, sealing: Sealing
) -> list[AnyListener]:
    """Who is told of what happens in the registry. Each has its own events, so their order says
    nothing."""
    listeners: list[AnyListener] = []
    if configuration[NotificationsSettings].active:
        # Only who tells endpoints pays for the library that does.
        from longshore.notifications.install import endpoints

        listeners.extend(endpoints(configuration, database, backends))
    return [*listeners, *audit_listeners(configuration, sealing)]


def audit_listeners(configuration: Configuration, sealing: Sealing) -> list[AnyListener]:
    """Who writes the audit log, if anybody: all that commands tell of what they change."""
    if not audited(configuration):
        return []
    settings = configuration[AuditSettings]
    part = {"none": 0.0, "sampled": settings.samplerate, "all": 1.0}[settings.pulls]
    return [AuditRecorder(sealing, part)]


def audit_forwards(configuration: Configuration, database: Database) -> list[AuditForward]:
    """Who is sent the rows of the audit log."""
    wanted = configuration[AuditSettings].forward if audited(configuration) else ()
    return [audit.forward(database, settings) for settings in wanted]


def audit_receivers(configuration: Configuration) -> Sequence[str]:
    """Their names."""
    return configuration[AuditSettings].receivers if audited(configuration) else ()


def audited(configuration: Configuration) -> bool:
    """Whether the audit log is written."""
    wanted = configuration[AuditSettings].enabled
    return configuration[AuthSettings].longshore is not None if wanted is None else wanted


@asynccontextmanager
async def work(
    configuration: Configuration,
    database: Database,
    backends: Backends,
    listeners: Sequence[AnyListener],
    encryption: Encryption,
    sealing: Sealing,
    metrics: "Metrics | None" = None,
) -> AsyncIterator[None]:
    """Work on jobs while the context lasts."""
    async with AsyncExitStack() as stack:
        for found in listeners:
            if isinstance(found, Closable):
                stack.push_async_callback(found.close)
        forwards = audit_forwards(configuration, database)
        for forward in forwards:
            stack.push_async_callback(forward.close)
        worker = _worker(
            configuration, database, backends, listeners, forwards, encryption, sealing, metrics
        )
        await stack.enter_async_context(worker.running())
        yield


def _worker(
    configuration: Configuration,
    database: Database,
    backends: Backends,
    listeners: Sequence[AnyListener],
    forwards: Sequence[AuditForward],
    encryption: Encryption,
    sealing: Sealing,
    metrics: "Metrics | None",
) -> Worker:
    tasks, schedules = _tasks(configuration, database, backends, Outbox(listeners), encryption)
    settings = configuration[AuditSettings]
    retention = AuditRetention(
        database, sealing, settings.retention, audit_receivers(configuration)
    )
    tasks += [retention, AuditPurge(database, sealing, audit_receivers(configuration))]
    if retention.retention:
        schedules.append(Schedule(retention.kind, Every(3600.0)))
    told = metrics.events if metrics else uncounted
    deliveries = [EventDelivery(database, found, _EVENTS, observe=told) for found in listeners]
    # The audit log misses nothing, however long it was kept from being written.
    kept = [found.name for found in listeners if isinstance(found, AuditRecorder)]
    expiry = EventExpiry(database, configuration[EventsSettings].retention, told, kept)
    schedules.append(Schedule(expiry.kind, Every(3600.0)))
    sources: list[Source] = []
    if listeners:
        sources.append(Arrivals([found.name for found in listeners]))
    if forwards:
        sources.append(Unforwarded([found.name for found in forwards]))
    return Worker(
        database,
        [*tasks, *deliveries, *forwards, expiry],
        schedules,
        worker_options(configuration),
        sources=sources,
        observe=metrics.job_attempt if metrics else unobserved,
    )


async def gauges(
    database: Database, receivers: Sequence[str] = ()
) -> Mapping[str, Mapping[str, float]]:
    """What metrics say about the queue, by kind of job, about the outbox, by listener, and about the audit log,
    by receiver."""
    jobs = await database.read(job_store.backlog)
    events = await database.read(outbox_store.backlog)
    rows: Mapping[str, int] = {}
    if receivers:
        rows = await database.read(partial(unforwarded, receivers=receivers))
    now = clock.timestamp()
    return {
        "longshore_jobs_waiting": {kind: found.waiting for kind, found in jobs.items()},
        "longshore_jobs_oldest_waiting_seconds": {
            kind: found.oldest for kind, found in jobs.items()
        },
        "longshore_jobs_running": {kind: found.running for kind, found in jobs.items()},
        "longshore_jobs_dead": {kind: found.dead for kind, found in jobs.items()},
        "longshore_events_waiting": {name: count for name, (count, _) in events.items()},
        "longshore_events_oldest_waiting_seconds": {
            name: max(0.0, now - at) for name, (_, at) in events.items()
        },
        "longshore_audit_rows_waiting": rows,
    }


def collection_options(configuration: Configuration) -> CollectionOptions:
    """What the configuration says about garbage collection."""
    settings = configuration[CollectionSettings]
    return CollectionOptions(settings.lease, settings.deleteuntagged, settings.rate)


def worker_options(configuration: Configuration) -> WorkerOptions:
    """How workers behave, in servers and in commands that work on a job."""
    settings = configuration[JobsSettings]
    return WorkerOptions(
        lease=settings.lease,
        poll=settings.poll,
        retention=settings.retention,
        dead_retention=settings.deadretention,
        parallel=settings.parallel,
    )


def scrub_options(configuration: Configuration) -> ScrubOptions:
    """What the configuration says about reading stored bytes again."""
    settings = configuration[ScrubSettings]
    return ScrubOptions(settings.rate, settings.interval)


def _tasks(
    configuration: Configuration,
    database: Database,
    backends: Backends,
    outbox: Outbox,
    encryption: Encryption,
) -> tuple[list[Task], list[Schedule]]:
    """Every kind of job there is, and which of them come back."""
    links = LinkExport(database, backends.default.driver)
    tasks: list[Task] = [Adoption(database, backends.default.driver), links]
    schedules: list[Schedule] = []
    if ticks := configuration[LinksSettings].schedule:
        schedules.append(Schedule(links.kind, ticks))
    purging = configuration[StorageSettings].maintenance.uploadpurging
    if purging.enabled:
        expiry = UploadExpiry(database, backends, purging.age, dry_run=purging.dryrun)
        tasks.append(expiry)
        schedules.append(Schedule(expiry.kind, Every(purging.interval)))
    collection = CollectionTask(database, backends, collection_options(configuration), outbox)
    tasks.append(collection)
    if ticks := configuration[CollectionSettings].schedule:
        schedules.append(Schedule(collection.kind, ticks))
    # Whoever was sent to the old place by a signed URL may use it until that ends.
    lifetime = configuration[RedirectRulesSettings].lifetime
    grace = max(configuration[BackendsSettings].grace, lifetime + 60)
    removal = SpareCopyRemoval(database, backends, grace)
    tasks += [StorageMove(database, backends, grace), removal]
    if backends.are_several:
        schedules.append(Schedule(removal.kind, Every(_REMOVAL)))
    scrub = ScrubTask(database, backends, scrub_options(configuration))
    tasks.append(scrub)
    if ticks := configuration[ScrubSettings].schedule:
        schedules.append(Schedule(scrub.kind, ticks))
    if configuration[AuthSettings].longshore is not None:
        from longshore.identity.token_task import INTERVAL, TokenUpkeep

        tokens = configuration[TokenServiceSettings]
        upkeep = TokenUpkeep(database, encryption, tokens.algorithm, tokens.keylifetime)
        tasks.append(upkeep)
        schedules.append(Schedule(upkeep.kind, Every(INTERVAL)))
        check = QuotaCheckTask(database)
        tasks.append(check)
        if ticks := configuration[QuotasSettings].check:
            schedules.append(Schedule(check.kind, ticks))
    return tasks, schedules
