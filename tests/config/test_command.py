"""`longshore config`: exit codes, and what is said where."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from longshore.cli.config import app
from tests.config.loading import Loader

WRONG = "version: 0.1\nstorage: inmemory\nhttp: {adr: x, draintimeout: soon}\nredis: {addr: r}\n"
WARNED = "version: 0.1\nstorage: {inmemory: , cache: {blobdescriptor: inmemory}}\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in ("REGISTRY_HTTP_ADDR", "REGISTRY_CONFIGURATION_PATH"):
        monkeypatch.delenv(name, raising=False)
    return CliRunner()


def test_check_prints_every_problem_and_fails(run: CliRunner, config: Loader):
    path = config.write(WRONG)
    result = run.invoke(app, ["check", str(path)])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"error: http.adr: unknown key; did you mean addr? ({path}:3)",
        ("error: http.draintimeout: 'soon' is not a duration; write a number and a unit, such as "
        f"100ms, 30s, 168h, 1h30m ({path}:3)"),
        f"warning: redis: not needed: what processes share is in the database ({path}:4)",
    ]  # fmt: skip


def test_check_succeeds_with_warnings(run: CliRunner, config: Loader):
    path = config.write(WARNED)
    result = run.invoke(app, ["check", str(path)])

    assert result.exit_code == 0
    assert result.stdout == f"{path} is valid, with 1 warning\n"
    assert result.stderr.startswith("warning: storage.cache: not needed")


def test_check_names_a_file_that_is_missing(run: CliRunner, tmp_path: Path):
    result = run.invoke(app, ["check", str(tmp_path / "none.yml")])

    assert result.exit_code == 1
    assert "cannot be read: No such file or directory" in result.stderr


def test_check_allows_silly_with_dev_only(run: CliRunner, config: Loader):
    path = str(config.write("version: 0.1\nstorage: inmemory\nauth: silly\n"))

    assert run.invoke(app, ["check", path]).exit_code == 1
    assert run.invoke(app, ["check", path, "--dev"]).exit_code == 0


def test_explain_prints_values_with_their_origin(run: CliRunner, config: Loader):
    path = config.write("version: 0.1\nstorage: inmemory\nlog: {level: warn}\n")
    result = run.invoke(app, ["explain", str(path)], env={"REGISTRY_HTTP_ADDR": ":1"})

    lines = [line.split() for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert ["http.addr:", ":1", "#", "REGISTRY_HTTP_ADDR"] in lines
    assert ["log.level:", "warn", "#", f"{path}:3"] in lines
    assert ["http.net:", "tcp", "#", "default"] in lines


def test_explain_can_leave_out_defaults(run: CliRunner, config: Loader):
    path = config.write("version: 0.1\nstorage: inmemory\nlog: {level: warn}\n")
    result = run.invoke(app, ["explain", "--set", "--json", str(path)])

    assert json.loads(result.stdout) == [
        {"key": "log.level", "value": "warn", "origin": f"{path}:3"},
        {"key": "storage.inmemory", "value": "{}", "origin": f"{path}:2"},
    ]


def test_explain_without_a_file_shows_what_is_built_in(run: CliRunner):
    result = run.invoke(app, ["explain"])

    assert result.exit_code == 0
    assert "storage.delete.enabled: true" in result.stdout
    assert "# no config.yml" in result.stdout


def test_schema_is_json(run: CliRunner):
    result = run.invoke(app, ["schema"])

    assert json.loads(result.stdout)["required"] == ["version", "storage"]
