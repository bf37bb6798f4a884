"""Real servers and clients: pushes at once never overshoot, and the client shows why not."""

import concurrent.futures
import subprocess
from pathlib import Path

import httpx
import pytest

from longshore.oci.digest import Digest
from longshore.testing.builders import random_bytes
from tests.services.images import single_image
from tests.services.programs import Shell
from tests.services.registries import Login, Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

ADMIN = Login("admin", "Harbour12")
LAYER = 1 << 21


def asks(registry: Registry) -> bool:
    try:
        with registry.client() as client:
            return client.get("/v2/").status_code == httpx.codes.UNAUTHORIZED
    except httpx.TransportError:
        return False


def longshore(registry: Registry, *arguments: str) -> str:
    config = str(registry.directory / "config.yml")
    done = subprocess.run(
        [server_program(), *arguments, "--config", config],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def push(host: str, number: int) -> int:
    """The status that the push of one blob ends with."""
    data = random_bytes(LAYER, number)
    with httpx.Client(
        base_url=f"http://{host}", auth=(ADMIN.user, ADMIN.password), timeout=60
    ) as http:
        begun = http.post(f"/v2/team/app{number % 3}/blobs/uploads/")
        if begun.status_code != httpx.codes.ACCEPTED:
            return begun.status_code
        location = begun.headers["location"]
        halves = (data[: LAYER // 2], data[LAYER // 2 :])
        sent = http.patch(location, content=iter(halves))
        if sent.status_code != httpx.codes.ACCEPTED:
            return sent.status_code
        return http.put(f"{location}?digest={Digest.of(data)}").status_code


def test_eight_pushes_at_once_into_room_for_three(
    registry_factory: RegistryFactory, database_url: str, shell: Shell, tmp_path: Path
) -> None:
    more = {
        "auth": {"longshore": {}},
        "longshore": {"database": {"url": database_url}, "http": {"workers": 2}},
    }
    registry = registry_factory(more, env={"LONGSHORE_ADMIN_PASSWORD": ADMIN.password}, ready=asks)
    longshore(registry, "project", "add", "team")
    longshore(registry, "quota", "set", "team", "--storage", "7MiB")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(push, [registry.host] * 8, range(8)))

    assert sorted(statuses) == [201] * 3 + [403] * 5
    assert "6.0 MiB  7.0 MiB" in longshore(registry, "quota", "list")
    assert "the totals are what the rows say" in longshore(registry, "quota", "check")

    single_image(tmp_path / "image", {"file": random_bytes(LAYER, 99)})
    login = ["auth", "login", "-u", ADMIN.user, "--password-stdin"]
    shell("crane", *login, registry.host, stdin=ADMIN.password)
    refused = shell.refused("crane", "push", tmp_path / "image", f"{registry.host}/team/app:v1")
    assert "the storage quota of project 'team' is exceeded: 6.0 MiB of 7.0 MiB used" in str(
        refused
    )
    assert "Largest: team/app" in str(refused)
