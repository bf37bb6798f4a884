"""The requests that pages show are answered by a real server, each as it stands, and `longshore quota` prints
what the page says."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from longshore.testing.builders import Image, image
from tests.services.authenticator import Device
from tests.services.management import PASSWORD, answers_api
from tests.services.registries import Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

DOCS = Path(__file__).parents[2] / "docs"
#: In this order: what one makes another may show.
PAGES = ("logins", "people", "api", "tokens", "ldap", "oidc")


def requests(page: str) -> list[str]:
    """Every curl of its shell blocks."""
    commands, begun = list[str](), ""
    for line in blocks(page, "sh").splitlines():
        begun = f"{begun}\n{line.strip()}".strip()
        try:
            shlex.split(begun)
        except ValueError:  # a quotation goes on in the next line
            continue
        commands.append(begun)
        begun = ""
    assert not begun, begun
    return [command for command in commands if command.startswith("curl ")]


def blocks(page: str, language: str) -> str:
    text = (DOCS / f"{page}.md").read_text()
    return "".join(re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE))


def administrator(registry: Registry) -> httpx.Client:
    return httpx.Client(base_url=registry.url, auth=("admin", PASSWORD), timeout=60)


def push(client: httpx.Client, content: Image) -> None:
    """As team/app:v1."""
    for blob in content.blobs:
        path = f"/v2/team/app/blobs/uploads/?digest={blob.digest}"
        client.post(path, content=blob.data).raise_for_status()
    client.put(
        "/v2/team/app/manifests/v1",
        content=content.manifest.data,
        headers={"Content-Type": content.manifest.descriptor.media_type},
    ).raise_for_status()


def furnish(registry: Registry) -> None:
    """Whom and what the pages speak of."""
    with administrator(registry) as client:
        for name in ("alice", "bob", "dora", "grace"):
            user = {"username": name, "password": PASSWORD, "realname": name}
            mail = {"email": f"{name}@example.com"}
            client.post("/api/v2.0/users", json=user | mail).raise_for_status()
        client.post("/api/v2.0/projects", json={"project_name": "team"}).raise_for_status()
        push(client, image([b"layer"]))


def test_every_request_of_the_pages_is_answered(served: Registry, tmp_path: Path) -> None:
    furnish(served)
    env = {**os.environ, "PASSWORD": PASSWORD}
    for page in PAGES:
        lines = requests(page)
        assert lines, page
        for line in lines:
            command = line.replace("https://registry.example", served.url)
            command = command.replace("curl ", "curl -sS --fail-with-body ", 1)
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                cwd=tmp_path,
                env=env,
            )
            assert done.returncode == 0, (page, line, done.stdout, done.stderr)
            if "otpauth://" in done.stdout:
                device = Device(json.loads(done.stdout)["uri"])
                env |= {"CODE": device.code(), "NEXT_CODE": device.code(1)}


def test_what_the_page_about_quotas_shows_is_what_is_printed(
    registry_factory: RegistryFactory,
) -> None:
    config = yaml.safe_load(blocks("quotas", "yaml"))
    config["longshore"]["admin"] = {"password": PASSWORD}
    registry = registry_factory(config, ready=answers_api)
    commands = [part.partition("\n") for part in blocks("quotas", "console").split("$ ")[1:]]
    with administrator(registry) as client:
        client.post("/api/v2.0/projects", json={"project_name": "team"}).raise_for_status()
        for number, (command, _, shown) in enumerate(commands):
            done = subprocess.run(
                ["/bin/sh", "-c", command.replace("longshore", server_program(), 1)],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                cwd=registry.directory,
            )
            assert (done.returncode, done.stdout.rstrip()) == (0, shown.rstrip()), done.stderr
            if number == 0:
                push(client, image([os.urandom(1 << 20)]))

        path = f"/v2/team/app/blobs/uploads/?digest=sha256:{'0' * 64}"
        refused = client.post(path, content=os.urandom(4 << 20))

    assert refused.status_code == 403
    (sentence,) = (
        line.strip()
        for line in (DOCS / "quotas.md").read_text().splitlines()
        if line.strip().startswith("the storage quota")
    )
    assert refused.json()["errors"][0]["message"] == sentence
