"""Servers and workers are killed at random while pushes are told to an endpoint: everything that was
acknowledged is told, in order, and never twice at a time."""

import random
import signal
from itertools import groupby

from tests.notifications.receiver import receiving
from tests.notifications.test_endpoints import endpoint, push
from tests.services.registries import Registry

pytest_plugins = ["tests.services.workers"]
PUSHES, WORKERS = 6, 2


def test_what_was_acknowledged_is_told_whoever_is_killed(
    database_url, registry_factory, start_worker
):
    chance = random.Random(5)
    with receiving(pause=0.1) as receiver:
        config = {
            "notifications": {"endpoints": [endpoint(receiver)]},
            "longshore": {
                "database": {"url": database_url},
                "jobs": {"enabled": False, "poll": "50ms", "lease": "1s"},
            },
        }
        registry = registry_factory(config)
        workers = [start_worker(registry) for _ in range(WORKERS)]
        acknowledged = []
        for number in range(PUSHES):
            victim = chance.randrange(4)
            if victim < WORKERS:
                workers[victim].stop(signal.SIGKILL)
                workers[victim] = start_worker(registry)
            elif victim == WORKERS:
                registry = restarted(registry_factory, registry, config)
            acknowledged.append(push(registry, "latest", f"layer {number}".encode())["digest"])
        receiver.until(PUSHES, seconds=60)
        told = [event["target"]["digest"] for event in receiver.events]

    # A worker that was killed may have told one event that nobody knows it told.
    assert [digest for digest, _ in groupby(told)] == acknowledged
    assert receiver.most == 1


def restarted(registry_factory, registry: Registry, config) -> Registry:
    registry.service.process.send_signal(signal.SIGKILL)
    registry.service.process.wait()
    found: Registry = registry_factory(config, directory=registry.directory)
    return found
