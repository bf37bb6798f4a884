"""Requests that nobody thought of: no reply is a fault of ours, and all are as the description says."""

import base64
import os
import subprocess
import sys

import pytest

from tests.services.management import PASSWORD

#: What changes who may ask, or whether the registry takes changes, ends the run for all that comes after it;
#: and so do wrong guesses at the password that the run sends.
LAST = ("update_configurations", "update_user_password", "begin_own_second_factor")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
SETTINGS = """
[parameters]
"path.project" = "{project}"
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", ["an administrator", "nobody"])
def test_no_request_is_answered_with_a_fault(served, tmp_path, who):
    (tmp_path / "schemathesis.toml").write_text(SETTINGS.format(project="library"))
    pair = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(tmp_path / "schemathesis.toml")),
        *("run", f"{served.url}/api/v2.0/openapi.json"),
        *("--checks", ",".join(CHECKS)),
        *("--max-examples", os.environ.get("FUZZ_EXAMPLES", "2")),
        # Nobody gets no further than the rules, whatever else they send.
        *("--phases", "coverage,fuzzing" if who != "nobody" else "coverage"),
        *("--no-color", "--continue-on-failure"),
        *("--header", f"Authorization: Basic {pair}" if who != "nobody" else "X-Nobody: 1"),
        *(part for name in LAST for part in ("--exclude-operation-id", camel(name))),
    ]

    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=560)

    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "passed" in run.stdout


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
