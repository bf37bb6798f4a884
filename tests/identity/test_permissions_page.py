"""docs/permissions.md: its commands print what it says, and its requests are accepted."""

import re
import shlex
from pathlib import Path

import pytest

from tests.identity.test_server import longshore
from tests.services.management import PASSWORD
from tests.services.registries import Registry

pytestmark = pytest.mark.service

PAGE = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text()
EXAMPLES = re.findall(r"^```(console|http)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_from_the_first_example_to_the_last(served: Registry) -> None:
    for user in ("bob", "alice"):
        longshore(served, "user", "add", user, stdin=f"{PASSWORD}\n")
    with served.client(login=False) as client:
        for kind, text in EXAMPLES:
            if kind == "console":
                for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.M):
                    done = longshore(served, *shlex.split(command)[1:])
                    assert done.out + done.err == expected, command
            else:
                first, _, sent = text.partition("\n")
                method, path = first.split()
                reply = client.request(
                    method,
                    path,
                    content=sent,
                    headers={"Content-Type": "application/json"},
                    auth=("admin", PASSWORD),
                )
                assert reply.is_success, reply.text
