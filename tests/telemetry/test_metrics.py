"""Metrics: distribution's names, added up over processes, every one documented."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from scripts.metrics_reference import PAGE, render

from longshore.telemetry.definitions import DEFINITIONS
from longshore.telemetry.exchange import Exchange
from longshore.telemetry.metrics import Metrics, forget

pytestmark = pytest.mark.anyio


def exchange(route: str = "manifest", status: int = 200, **more: object) -> Exchange:
    made = Exchange("id", "GET", "/", route=route, status=status, seconds=0.02, sent=2000)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def numbers(text: bytes) -> dict[str, float]:
    """``name{labels}`` to value."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


async def test_requests_are_counted_under_distributions_names():
    metrics = Metrics()
    for _ in range(3):
        metrics(exchange())
    metrics(exchange(status=404, reason="MANIFEST_UNKNOWN"))
    metrics(exchange(method="BREW"))

    found = numbers(await metrics.exposition())

    assert found["registry_http_requests_total{code=200,handler=manifest,method=get}"] == 3
    assert found["registry_http_requests_total{code=404,handler=manifest,method=get}"] == 1
    assert found["registry_http_requests_total{code=200,handler=manifest,method=other}"] == 1
    duration = "registry_http_request_duration_seconds"
    assert found[f"{duration}_count{{handler=manifest,method=get}}"] == 4
    assert found[f"{duration}_sum{{handler=manifest,method=get}}"] == pytest.approx(0.08)
    assert found[f"{duration}_bucket{{handler=manifest,le=0.01,method=get}}"] == 0
    assert found[f"{duration}_bucket{{handler=manifest,le=0.025,method=get}}"] == 4
    assert found["registry_http_response_size_bytes_bucket{handler=manifest,le=1024.0}"] == 0
    assert found["registry_http_response_size_bytes_bucket{handler=manifest,le=2048.0}"] == 5
    assert found["longshore_refused_requests_total{code=MANIFEST_UNKNOWN}"] == 1


async def test_attempts_at_jobs_and_events_are_counted():
    metrics = Metrics()
    metrics.job_attempt("gc", "done", 2.0)
    metrics.job_attempt("gc", "failed", 20.0)
    metrics.events("audit", "delivered", 5)

    found = numbers(await metrics.exposition())

    assert found["longshore_jobs_total{kind=gc,outcome=done}"] == 1
    assert found["longshore_jobs_total{kind=gc,outcome=failed}"] == 1
    assert found["longshore_job_duration_seconds_sum{kind=gc}"] == 22
    assert found["longshore_job_duration_seconds_bucket{kind=gc,le=5.0}"] == 1
    assert found["longshore_events_total{listener=audit,outcome=delivered}"] == 5


async def test_requests_to_directories_are_counted():
    metrics = Metrics()
    metrics.directory_asked("corp", "answered", 0.02)
    metrics.directory_asked("corp", "unavailable", 5.0)

    found = numbers(await metrics.exposition())

    name = "longshore_ldap_request_duration_seconds"
    assert found[f"{name}_count{{outcome=answered,server=corp}}"] == 1
    assert found[f"{name}_sum{{outcome=unavailable,server=corp}}"] == 5


async def test_a_gauge_by_kind_goes_back_to_zero_when_nothing_is_said_of_the_kind():
    answers = [OSError("the database is away"), {"gc": 3.0}]

    async def sample():
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return {"longshore_jobs_dead": answer}

    async def until(**wanted):
        async with asyncio.timeout(10):
            while True:
                found = numbers(await metrics.exposition())
                if all(
                    found.get(f"longshore_jobs_dead{{kind={kind}}}") == value
                    for kind, value in wanted.items()
                ):
                    return
                await asyncio.sleep(0.01)

    metrics = Metrics()
    metrics.sample_groups(sample)
    task = asyncio.create_task(metrics.run(interval=0.01, sampling=0.01))
    await until(gc=3)
    answers[0] = {"adopt": 1.0}
    await until(gc=0, adopt=1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nothing_is_counted_twice_by_looking():
    metrics = Metrics()
    metrics(exchange())
    await metrics.exposition()

    found = numbers(await metrics.exposition())

    assert found["registry_http_requests_total{code=200,handler=manifest,method=get}"] == 1


async def test_requests_in_flight_go_up_and_down():
    open_now = {"blob": 2}
    metrics = Metrics(in_flight=lambda: open_now)
    before = numbers(await metrics.exposition())
    open_now.clear()
    after = numbers(await metrics.exposition())

    assert before["registry_http_in_flight_requests{handler=blob}"] == 2
    assert after["registry_http_in_flight_requests{handler=blob}"] == 0


async def test_storage_cache_and_uploads_are_counted():
    metrics = Metrics()
    metrics.storage_action("filesystem", "Stat", 0.001)
    metrics.cache_lookup(hit=True)
    metrics.cache_lookup(hit=False)

    async def uploads() -> float:
        return 4

    async def broken() -> float:
        raise OSError("the database is away")

    metrics.sample("longshore_jobs_dead", broken)
    metrics.sample("longshore_uploads_open", uploads)
    await metrics._take_samples(1)
    found = numbers(await metrics.exposition())

    action = "registry_storage_action_seconds_count{action=Stat,driver=filesystem}"
    assert found[action] == 1
    assert found["registry_storage_cache_requests_total{}"] == 2
    assert found["registry_storage_cache_hits_total{}"] == 1
    assert found["longshore_uploads_open{}"] == 4


_WORKER = """
import asyncio, sys
from pathlib import Path
from longshore.telemetry import metrics
from longshore.telemetry.exchange import Exchange
directory, slot, requests = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
metrics.share(directory, slot)
mine = metrics.Metrics(in_flight=lambda: {"blob": 1})
for _ in range(requests):
    mine(Exchange("id", "GET", "/", route="blob", status=200, seconds=0.02, sent=10))
sys.stdout.buffer.write(asyncio.run(mine.exposition(directory)))
"""


def worker(directory: Path, slot: int, requests: int) -> dict[str, float]:
    """Run a worker process to its end; the numbers of all workers as it shows them."""
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, str(directory), str(slot), str(requests)],
        capture_output=True,
        check=True,
    )
    return numbers(done.stdout)


def test_workers_are_added_up_and_a_replacement_goes_on_counting(tmp_path: Path):
    requests = "registry_http_requests_total{code=200,handler=blob,method=get}"
    worker(tmp_path, 0, 5)
    both = worker(tmp_path, 1, 7)
    replaced = worker(tmp_path, 0, 1)

    assert both[requests] == 12
    assert both["registry_http_in_flight_requests{handler=blob}"] == 2
    assert both["longshore_workers{}"] == 2
    assert replaced[requests] == 13
    assert len({path.name for path in tmp_path.iterdir()}) == 2 * len(
        {path.name.rpartition("_")[0] for path in tmp_path.iterdir()}
    )


def test_a_dead_workers_requests_in_flight_are_forgotten_but_not_its_counts(tmp_path: Path):
    worker(tmp_path, 0, 5)
    forget(tmp_path, 0)
    left = worker(tmp_path, 1, 1)

    assert left["registry_http_in_flight_requests{handler=blob}"] == 1
    assert left["longshore_workers{}"] == 1
    assert left["registry_http_requests_total{code=200,handler=blob,method=get}"] == 6


async def test_every_metric_that_is_shown_is_defined_and_has_its_type():
    metrics = Metrics(in_flight=lambda: {"blob": 1})
    metrics(exchange(reason="DENIED"))
    metrics.storage_action("filesystem", "Stat", 0.001)
    shown = dict(re.findall(r"# TYPE (\S+) (\S+)", (await metrics.exposition()).decode()))
    shown = {name: kind for name, kind in shown.items() if not name.endswith("_created")}

    assert shown == {entry.name: entry.type for entry in DEFINITIONS}


def test_the_reference_documents_what_is_defined():
    assert PAGE.read_text() == render(), "run: python scripts/metrics_reference.py"
