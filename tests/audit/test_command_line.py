"""What commands change is in the audit log, with who ran them."""

import getpass
import io
import socket
import sys

import anyio.to_thread
import pytest

from longshore.cli.main import main
from tests.audit.test_recording import rows
from tests.services.management import PASSWORD, management_of

pytestmark = pytest.mark.anyio

#: The command, what is typed, and what the log says: operation, type, resource, project, description.
COMMANDS = [
    ("user add bob --admin", f"{PASSWORD}\n", "create user bob . an administrator"),
    ("user passwd bob", "Another12\n", "update user bob . a new password"),
    ("user disable bob", "", "update user bob . disabled"),
    ("user enable bob", "", "update user bob . enabled"),
    ("project add team", "", "create project team team"),
    ("project public team", "", "update project team team made public"),
    ("project private team", "", "update project team team made private"),
    ("project member add team bob guest", "", "update member bob team is to be guest"),
    ("project member rm team bob", "", "delete member bob team is a member no more"),
    ("group create devs", "", "create group devs ."),
    ("group member add devs bob", "", "update group devs . user 'bob' is in it from now on"),
    ("project member add team devs guest --group", "", "update member devs team is to be guest"),
    ("project member rm team devs --group", "", "delete member devs team is a member no more"),
    ("group member remove devs bob", "", "update group devs . user 'bob' is in it no more"),
    ("group delete devs", "", "delete group devs ."),
    ("quota set team --storage 1GiB --tags-soft 5", "", "update quota team team storage 1GiB"),
    ("project rm team", "", "delete project team team"),
    ("user rm bob", "", "delete user bob ."),
    ("token-keys rotate", "", "create token-key"),
]


async def test_changes_by_commands_are_in_it_with_who_ran_them(database_url, tmp_path, monkeypatch):
    async with management_of(database_url, tmp_path) as management:
        for command, typed, _ in COMMANDS:
            monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
            words = [*command.split(), "--config", str(tmp_path / "config-0.yml")]
            assert await anyio.to_thread.run_sync(run_command, words) in (None, 0), command
        found = await rows(management, len(COMMANDS))

    for row, (_, _, said) in zip(found, COMMANDS, strict=True):
        told = (row.operation, row.resource_type, row.resource, row.project or ".", row.description)
        assert " ".join(told).startswith(said)
    assert {(row.actor, row.address, row.successful) for row in found} == {
        (f"command line: {getpass.getuser()}", socket.gethostname(), True)
    }
    (quota,) = (row for row in found if row.resource_type == "quota")
    assert quota.description == "storage 1GiB, tags (soft) 5"


async def test_a_command_that_fails_changes_nothing_and_tells_of_nothing(database_url, tmp_path):
    async with management_of(database_url, tmp_path) as management:
        for words in (["user", "disable", "nobody"], ["project", "add", "mine"]):
            ran = [*words, "--config", str(tmp_path / "config-0.yml")]
            await anyio.to_thread.run_sync(run_command, ran)
        (only,) = await rows(management, 1)

    assert only.resource == "mine"


def run_command(words: list[str]) -> object:
    """The exit code."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code
