"""Prometheus metrics: distribution's names, so that its dashboards and alerts go on working, and
a few of our own. All workers of a server are shown as one.

Each worker keeps its numbers in memory-mapped files of a private directory (prometheus_client's
multiprocess mode), named after its slot: a replacement goes on counting where its predecessor
died. What happens for every request is first counted in plain Python and passed on once a second.
"""

import asyncio
import logging
import os
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess, values

import longshore
from longshore.telemetry.definitions import DEFINITIONS, SAMPLED, Definition
from longshore.telemetry.exchange import Exchange

logger = logging.getLogger(__name__)

# The buckets of docker/go-metrics, which distribution uses.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
#: Of what takes from moments to hours.
_LONG: Final = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
_BYTES: Final = tuple(1024.0 * 2**power for power in range(22))
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


_HELP: Final[Mapping[str, Definition]] = {entry.name: entry for entry in DEFINITIONS}


def share(directory: Path, slot: int) -> None:
    """Count together with the other workers of this server, from now on. For worker processes,
    before any metric is made."""
    # prometheus_client finds the directory in the environment, and nowhere else.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)  # noqa: TID251
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]


def forget(directory: Path, slot: int) -> None:
    """A worker died: what it was in the middle of goes, what it counted stays."""
    multiprocess.mark_process_dead(slot, str(directory))  # type: ignore[no-untyped-call]


@dataclass(slots=True)
class _Cell:
    """What happened since the last flush to one handler, status and method."""

    requests: int = 0
    seconds: float = 0.0
    received: int = 0
    sent: int = 0
    by_seconds: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS) + 1))
    by_received: list[int] = field(default_factory=lambda: [0] * (len(_BYTES) + 1))
    by_sent: list[int] = field(default_factory=lambda: [0] * (len(_BYTES) + 1))


@dataclass(slots=True)
class _Batch:
    """What is passed on together."""

    cells: dict[tuple[str, int, str], _Cell]
    refused: Tally[str]
    lookups: int
    hits: int
    in_flight: dict[str, int] = field(default_factory=dict)
    attempts: list[tuple[str, str, float]] = field(default_factory=list)
    events: Tally[tuple[str, str]] = field(default_factory=Tally)
    directories: list[tuple[str, str, float]] = field(default_factory=list)


class _BatchHistogram(Histogram):
    """A histogram that takes many observations at once, already sorted into its buckets."""

    def add(self, counts: Iterable[int], total: float) -> None:
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


Sample = Callable[[], Awaitable[float]]
GroupSample = Callable[[], Awaitable[Mapping[str, Mapping[str, float]]]]
"""Answers with gauges, each by the values of its label."""


class Metrics:
    """The numbers of one worker. An observer of exchanges, and the target of other counts."""

    def __init__(self, *, in_flight: Callable[[], Mapping[str, int]] = dict) -> None:
        """``in_flight`` says how many requests each handler is answering now; it may be set later."""
        self._registry = CollectorRegistry()
        self.in_flight = in_flight
        self._cells: dict[tuple[str, int, str], _Cell] = {}
        self._refused: Tally[str] = Tally()
        self._lookups = self._hits = 0
        self._samples: dict[str, Sample] = {}
        self._groups: list[GroupSample] = []
        self._shown: dict[str, set[str]] = {}
        self._attempts: list[tuple[str, str, float]] = []
        self._events: Tally[tuple[str, str]] = Tally()
        self._asked: list[tuple[str, str, float]] = []
        self._actions: dict[tuple[str, str], Histogram] = {}
        self._handlers: set[str] = set()

        self._requests = self._counter("registry_http_requests_total")
        self._open = self._gauge("registry_http_in_flight_requests")
        self._duration = self._histogram("registry_http_request_duration_seconds", _SECONDS)
        self._request_size = self._histogram("registry_http_request_size_bytes", _BYTES)
        self._response_size = self._histogram("registry_http_response_size_bytes", _BYTES)
        self._storage = self._histogram(
            "registry_storage_action_seconds", prometheus_client.Histogram.DEFAULT_BUCKETS
        )
        self._cache_lookups = self._counter("registry_storage_cache_requests_total")
        self._cache_hits = self._counter("registry_storage_cache_hits_total")
        self._refusals = self._counter("longshore_refused_requests_total")
        self._redirect_failures = self._counter("longshore_redirect_failures_total")
        self._jobs = self._counter("longshore_jobs_total")
        self._job_duration = self._histogram("longshore_job_duration_seconds", _LONG)
        self._told = self._counter("longshore_events_total")
        self._directories = self._histogram("longshore_ldap_request_duration_seconds", _SECONDS)
        self._sampled = {name: self._gauge(name, mode="livemax") for name in SAMPLED}
        self._memory = self._gauge("longshore_resident_memory_bytes")
        self._gauge("longshore_workers").set(1)
        self._gauge("longshore_build_info", mode="livemax").labels(longshore.__version__).set(1)

    def _counter(self, name: str) -> Counter:
        entry = _HELP[name]
        return Counter(name, entry.help, entry.labels, registry=self._registry)

    def _gauge(self, name: str, mode: str = "livesum") -> Gauge:
        entry = _HELP[name]
        return Gauge(
            name,
            entry.help,
            entry.labels,
            registry=self._registry,
            multiprocess_mode=mode,  # type: ignore[arg-type]
        )

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> _BatchHistogram:
        entry = _HELP[name]
        return _BatchHistogram(
            name, entry.help, entry.labels, registry=self._registry, buckets=buckets
        )

    # What is counted

    def __call__(self, exchange: Exchange) -> None:
        """Count one exchange: an observer, about a microsecond."""
        method = exchange.method if exchange.method in _METHODS else "other"
        key = (exchange.route, exchange.status, method)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell()
        cell.requests += 1
        cell.seconds += exchange.seconds
        cell.by_seconds[bisect_left(_SECONDS, exchange.seconds)] += 1
        cell.received += exchange.received
        cell.by_received[bisect_left(_BYTES, exchange.received)] += 1
        cell.sent += exchange.sent
        cell.by_sent[bisect_left(_BYTES, exchange.sent)] += 1
        if exchange.reason and exchange.reason.isupper():
            self._refused[exchange.reason] += 1

    def storage_action(self, driver: str, action: str, seconds: float) -> None:
        """Count one operation of a storage driver; from any thread."""
        histogram = self._actions.get((driver, action))
        if histogram is None:
            histogram = self._actions[driver, action] = self._storage.labels(driver, action)
        histogram.observe(seconds)

    def cache_lookup(self, *, hit: bool) -> None:
        """Count one look-up in the manifest cache."""
        self._lookups += 1
        self._hits += hit

    def redirect_failed(self) -> None:
        """Count a pull that should have been redirected."""
        self._redirect_failures.inc()

    def job_attempt(self, kind: str, outcome: str, seconds: float) -> None:
        """Count one attempt at a job."""
        self._attempts.append((kind, outcome, seconds))

    def events(self, listener: str, outcome: str, count: int) -> None:
        """Count what became of events for a listener."""
        self._events[listener, outcome] += count

    def directory_asked(self, server: str, outcome: str, seconds: float) -> None:
        """Count one request to an LDAP server."""
        self._asked.append((server, outcome, seconds))

    def sample_groups(self, sample: GroupSample) -> None:
        """Ask ``sample`` now and then for several gauges that have one label. A value of that label
        that is no longer among the answers counts as 0."""
        self._groups.append(sample)

    def sample(self, name: str, sample: Sample) -> None:
        """Ask ``sample`` now and then what the gauge ``name`` should say. One worker is enough."""
        self._samples[name] = sample

    # What becomes of it

    def flush(self) -> None:
        """Pass on what was counted since the last time."""
        self._apply(self._take())

    def _take(self) -> _Batch:
        """Everything counted so far; where observers run, as only then nothing falls between."""
        batch = _Batch(self._cells, self._refused, self._lookups, self._hits)
        self._cells, self._refused, self._lookups, self._hits = {}, Tally(), 0, 0
        batch.attempts, self._attempts = self._attempts, []
        batch.events, self._events = self._events, Tally()
        batch.directories, self._asked = self._asked, []
        batch.in_flight = dict.fromkeys(self._handlers, 0) | dict(self.in_flight())
        self._handlers = set(batch.in_flight)
        return batch

    def _apply(self, batch: _Batch) -> None:
        """Into the shared files: milliseconds when labels are new, so a thread does it."""
        for (handler, status, method), cell in batch.cells.items():
            name = method.lower()
            self._requests.labels(handler, str(status), name).inc(cell.requests)
            self._duration.labels(handler, name).add(cell.by_seconds, cell.seconds)
            self._request_size.labels(handler).add(cell.by_received, cell.received)
            self._response_size.labels(handler).add(cell.by_sent, cell.sent)
        for code, count in batch.refused.items():
            self._refusals.labels(code).inc(count)
        for kind, outcome, seconds in batch.attempts:
            self._jobs.labels(kind, outcome).inc()
            self._job_duration.labels(kind).observe(seconds)
        for (listener, outcome), count in batch.events.items():
            self._told.labels(listener, outcome).inc(count)
        for server, outcome, seconds in batch.directories:
            self._directories.labels(server, outcome).observe(seconds)
        self._cache_lookups.inc(batch.lookups)
        self._cache_hits.inc(batch.hits)
        for handler, open_now in batch.in_flight.items():
            self._open.labels(handler).set(open_now)
        self._memory.set(_resident_bytes())

    async def run(self, interval: float = 1.0, sampling: float = 15.0) -> None:
        """Flush every ``interval`` seconds and sample every ``sampling`` ones, until cancelled."""
        loop = asyncio.get_running_loop()
        next_sample = loop.time()
        try:
            while True:
                if (self._samples or self._groups) and loop.time() >= next_sample:
                    next_sample = loop.time() + sampling
                    await self._take_samples(sampling)
                await asyncio.to_thread(self._apply, self._take())
                await asyncio.sleep(interval)
        finally:
            self.flush()

    async def _take_samples(self, patience: float) -> None:
        for name, sample in self._samples.items():
            try:
                async with asyncio.timeout(patience):
                    self._sampled[name].set(await sample())
            except Exception:
                # A number that cannot be had must never stop the others.
                logger.warning("%s is not to be had", name, exc_info=True)
        for group in self._groups:
            try:
                async with asyncio.timeout(patience):
                    found = await group()
            except Exception:
                logger.warning("what the database says is not to be had", exc_info=True)
            else:
                await asyncio.to_thread(self._show, found)

    def _show(self, found: Mapping[str, Mapping[str, float]]) -> None:
        for name, by_label in found.items():
            shown = self._shown.setdefault(name, set())
            for label in shown - by_label.keys():
                self._sampled[name].labels(label).set(0)
            for label, value in by_label.items():
                self._sampled[name].labels(label).set(value)
            shown.update(by_label)

    async def exposition(self, directory: Path | None = None) -> bytes:
        """The text format: of all workers that share ``directory``, or of this process alone."""
        return await asyncio.to_thread(self._expose, self._take(), directory)

    def _expose(self, batch: _Batch, directory: Path | None) -> bytes:
        self._apply(batch)
        registry = self._registry
        if directory is not None:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]
        return prometheus_client.generate_latest(registry)


def _resident_bytes() -> int:
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
