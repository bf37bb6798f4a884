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
from longshore.telemetry.exchange import Exchange

logger = logging.getLogger(__name__)

# The buckets of docker/go-metrics, which distribution uses.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0)
_BYTES: Final = tuple(1024.0 * 2**power for power in range(22))
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric, as the documentation lists it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


DEFINITIONS: Final = (
    Definition(
        "registry_http_requests_total",
        "counter",
        ("handler", "code", "method"),
        "HTTP requests answered. `handler` is base, manifest, tags, blob, blob_upload, "
        "blob_upload_chunk, catalog or another endpoint's name; `method` is in lower case.",
    ),
    Definition(
        "registry_http_in_flight_requests", "gauge", ("handler",), "HTTP requests being answered."
    ),
    Definition(
        "registry_http_request_duration_seconds",
        "histogram",
        ("handler", "method"),
        "Time from the request's head to the reply's last byte.",
    ),
    Definition(
        "registry_http_request_size_bytes", "histogram", ("handler",), "Size of request bodies."
    ),
    Definition(
        "registry_http_response_size_bytes", "histogram", ("handler",), "Size of reply bodies."
    ),
    Definition(
        "registry_storage_action_seconds",
        "histogram",
        ("driver", "action"),
        "Time of each storage operation. `action` is named as in distribution: GetContent, "
        "PutContent, Stat, List, Move, Delete, RedirectURL and so on.",
    ),
    Definition(
        "registry_storage_cache_requests_total",
        "counter",
        (),
        "Look-ups of manifests in the memory cache.",
    ),
    Definition(
        "registry_storage_cache_hits_total", "counter", (), "Look-ups that the cache answered."
    ),
    Definition(
        "longshore_refused_requests_total",
        "counter",
        ("code",),
        "Refusals by error code: UNAUTHORIZED, DENIED, MANIFEST_UNKNOWN and so on.",
    ),
    Definition("longshore_uploads_open", "gauge", (), "Blob uploads begun and not yet finished."),
    Definition(
        "longshore_jobs_waiting", "gauge", (), "Jobs that could run now and that nobody has begun."
    ),
    Definition("longshore_jobs_dead", "gauge", (), "Jobs that failed for good and are still kept."),
    Definition("longshore_workers", "gauge", (), "Worker processes that are serving."),
    Definition(
        "longshore_resident_memory_bytes",
        "gauge",
        (),
        "Memory of all worker processes; pages that several share are counted for each.",
    ),
    Definition(
        "longshore_build_info", "gauge", ("version",), "Always 1; the label says what runs."
    ),
)
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


class _BatchHistogram(Histogram):
    """A histogram that takes many observations at once, already sorted into its buckets."""

    def add(self, counts: Iterable[int], total: float) -> None:
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


Sample = Callable[[], Awaitable[float]]


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
        self._sampled = {
            name: self._gauge(name, mode="livemax")
            for name in ("longshore_uploads_open", "longshore_jobs_waiting", "longshore_jobs_dead")
        }
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
                if self._samples and loop.time() >= next_sample:
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
