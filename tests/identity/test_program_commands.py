"""docs/robots.md: its commands work, and what they make logs in."""

import io
import json
import re
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from longshore.cli.main import main
from longshore.identity.access_tokens import SCOPES
from longshore.identity.model import Role
from tests.services.management import Management, management_of

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "robots.md").read_text()
COMMANDS = re.findall(r"^longshore (.*)$", PAGE, re.MULTILINE)
MANIFEST = "/v2/team/app/manifests/latest"


@dataclass
class Beside:
    """Runs commands beside a registry; what they print."""

    management: Management
    config: Path

    async def __call__(self, command: str, code: int = 0) -> str:
        words = [*shlex.split(command), "--config", str(self.config)]
        return await anyio.to_thread.run_sync(_run, words, code)


@pytest.fixture
async def run(database_url, tmp_path):
    async with management_of(database_url, tmp_path) as management:
        await management.add_user("alice")
        await management.add_project("team", {"alice": Role.MAINTAINER})
        assert (await management.push("admin", "team/app")).status_code == 201

        yield Beside(management, tmp_path / "config-0.yml")


def _run(words: list[str], code: int) -> str:
    out = io.StringIO()
    found = 0
    with redirect_stdout(out):
        try:
            main(words)
        except SystemExit as end:
            found = int(end.code or 0)
    assert found == code, out.getvalue()
    return out.getvalue().strip()


async def _logged(management: Management) -> set[tuple[str, str]]:
    reply = await management.ask("admin", "GET", "/auditlog-exts", params={"page_size": 100})
    return {(row["operation"], row["resource_type"]) for row in reply.json()}


async def test_the_commands_of_the_page_work(run):
    printed = {command: await run(command) for command in COMMANDS}
    management = run.management
    made = next(out for command, out in printed.items() if command.startswith("robot add ci"))
    rotated = next(out for command, out in printed.items() if command.startswith("robot rotate"))
    for secret in (made, rotated):  # they overlap
        found = await management.ask("robot+team+ci", "GET", MANIFEST, password=secret)
        assert found.status_code == 200
    assert (await management.push("robot+team+ci", "team/app", "v1")).status_code == 401
    token = next(out for command, out in printed.items() if command.startswith("token add"))
    assert (await management.ask("alice", "GET", MANIFEST, password=token)).status_code == 401
    assert "robot+team+ci" in printed["robot list"]
    assert "pull, push" in printed["robot list"]
    assert "laptop" in printed["token list alice"]
    for secret in (made, rotated, token):
        assert secret not in printed["robot list"] + printed["token list alice"]
    wanted = {("create", "robot"), ("delete", "robot"), ("update", "access-token")}
    with anyio.fail_after(30):
        while True:
            if wanted <= await _logged(management):
                break
            await anyio.sleep(0.05)


async def test_a_disabled_robot_is_out_and_lists_hold_no_secret(run):
    secret = await run("robot add ci --project team --push")
    management = run.management
    management.passwords["robot+team+ci"] = secret
    assert (await management.push("robot+team+ci", "team/app", "v1")).status_code == 201
    await run("robot disable team+ci")
    assert (await management.ask("robot+team+ci", "GET", MANIFEST)).status_code == 401
    (listed,) = json.loads(await run("robot list --json"))
    assert listed["disabled"]
    assert not [name for name in listed if "hash" in name]
    assert "robot+team+ci" in await run("why deny robot+team+ci delete team/app")


@pytest.mark.parametrize(
    "command",
    [
        "robot add Upper --project team",
        "robot add ci --project nowhere",
        "robot add ci --permission fly",
        "robot add ci --days 0",
        "robot add ci --network x",
        "robot rotate nobody",
        "robot rotate ci --overlap 9999h",
        "token add nobody x --scope pull",
        "token add alice x --scope fly",
        "token rm alice x",
    ],
)
async def test_what_cannot_be_is_refused(run, command):
    await run(command, code=1)


def test_every_scope_is_explained():
    for scope in SCOPES:
        assert f"| `{scope}` |" in PAGE
