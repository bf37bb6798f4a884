"""`longshore worker`: the jobs of a registry whose servers leave them alone."""

import json
import signal
import time

import anyio
import httpx

from tests.notifications.receiver import receiving
from tests.notifications.test_endpoints import configuration, endpoint, push
from tests.services.processes import free_port
from tests.services.registries import merge, server_program

pytest_plugins = ["tests.services.workers"]
IDLE = {"longshore": {"jobs": {"enabled": False}}}


async def listed(registry, *words):
    command = [server_program(), "jobs", "list", "--json", "-c", "config.yml", *words]
    done = await anyio.run_process(command, cwd=registry.directory)
    return json.loads(done.stdout)


def deliveries(registry):
    return [job for job in anyio.run(listed, registry) if job["kind"] == "events:endpoint-tests"]


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_jobs_wait_for_a_worker_where_servers_leave_them_alone(registry_factory, start_worker):
    with receiving() as receiver:
        registry = registry_factory(merge(configuration(endpoint(receiver)), IDLE))
        push(registry, "v1")
        time.sleep(0.5)  # ten looks of a worker, if there were one
        assert receiver.events == []
        assert anyio.run(listed, registry) == []
        start_worker(registry)

        (event,) = receiver.until(1)
    assert event["target"]["tag"] == "v1"


def test_a_worker_that_is_told_to_stop_gives_its_job_back(registry_factory, start_worker):
    with receiving(pause=3) as receiver:
        config = configuration(endpoint(receiver, timeout="20s"))
        registry = registry_factory(merge(config, IDLE))
        worker = start_worker(registry)
        push(registry, "v1")
        until(lambda: receiver.most == 1)
        assert worker.stop(signal.SIGTERM) == 0
        (job,) = deliveries(registry)
        assert (job["status"], job["attempt"], job["holder"]) == ("queued", 0, None)

        start_worker(registry)
        until(lambda: not deliveries(registry))
    assert {event["target"]["tag"] for event in receiver.events} == {"v1"}


def test_a_worker_has_health_and_metrics_of_its_own(registry_factory, start_worker):
    debug = f"127.0.0.1:{free_port()}"
    often = {"maintenance": {"uploadpurging": {"interval": "1s"}}}
    metrics = {"http": {"debug": {"prometheus": {"enabled": True}}}, "storage": often}
    registry = registry_factory({**metrics, **IDLE})
    start_worker(registry, REGISTRY_HTTP_DEBUG_ADDR=debug)

    def kinds():
        text = httpx.get(f"http://{debug}/metrics").text
        return 'longshore_jobs_total{kind="upload-purge",outcome="done"}' in text

    assert httpx.get(f"http://{debug}/readyz").json() == {"status": "ok"}
    assert httpx.get(f"http://{debug}/v2/").status_code == 404
    until(kinds)


def test_a_worker_of_a_registry_in_read_only_mode_says_why_it_does_nothing(registry_factory):
    registry = registry_factory({"storage": {"maintenance": {"readonly": {"enabled": True}}}})

    async def run():
        command = [server_program(), "worker", "config.yml"]
        return await anyio.run_process(command, cwd=registry.directory, check=False)

    done = anyio.run(run)
    assert done.returncode == 1
    assert b"read-only mode (storage.maintenance.readonly)" in done.stderr
