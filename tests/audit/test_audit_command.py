"""`longshore audit`, and what the documentation says of it."""

import asyncio
import json
import re
import shlex
import subprocess
from functools import partial
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text

from longshore import app, migrations
from longshore.audit import store
from longshore.audit.settings import AuditSettings
from longshore.audit.webhook_signature import signature_headers, signing_key
from longshore.cli.main import main
from longshore.db.database import Database
from longshore.settings import load_configuration
from longshore.telemetry import clock
from tests.audit.test_chain import entry, tampering
from tests.services.programs import program

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def configured(tmp_path):
    """A registry with the documentation's configuration and a log of three rows."""
    settings = next(block for kind, block in BLOCKS if kind == "yaml")
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "auth": {"longshore": {}},
        **yaml.safe_load(settings),
    }
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(document))
    configuration = load_configuration(path, {})
    database = Database(app.database_url(configuration))
    database.open()
    migrations.upgrade(database)
    entries = [entry(n, actor="admin") for n in range(3)]
    keys = app.sealing(configuration, database)
    asyncio.run(database.write(partial(store.append, sealing=keys, entries=entries)))
    yield path, database
    database.close()


def run(*words: str, capsys: pytest.CaptureFixture[str], fails: bool = False) -> str:
    """What it prints."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert bool(ended.value.code) == fails
    return capsys.readouterr().out


def test_the_commands_of_the_documentation_work(configured, capsys):
    path, _ = configured
    lines = [
        line.split(" > ")[0]
        for kind, block in BLOCKS
        if kind == "sh"
        for line in block.strip().splitlines()
    ]
    assert len(lines) >= 6

    for line in lines:
        run(*shlex.split(line)[1:], "--config", str(path), capsys=capsys)


def test_the_receivers_of_the_documentation_can_be_configured(configured):
    path, _ = configured
    document = yaml.safe_load(path.read_text())
    _, more = [yaml.safe_load(block) for kind, block in BLOCKS if kind == "yaml"]
    document["longshore"]["audit"].update(more["longshore"]["audit"])
    path.write_text(yaml.safe_dump(document))

    found = load_configuration(path, {})[AuditSettings].forward

    assert [one.place for one in found] == [
        "tls://siem.example.org:6514",
        "https://collector.example.org:443",
    ]


def test_the_documentation_shows_how_to_believe_a_webhook():
    (block,) = [block for kind, block in BLOCKS if kind == "python"]
    secret = re.search(r'Webhook\("([^"]+)"\)', block)
    assert secret is not None
    body = json.dumps({"data": {"rows": [{"id": 1}]}}).encode()
    headers = signature_headers(signing_key(secret[1]), "audit-1-1", int(clock.timestamp()), body)
    names: dict[str, object] = {"body": body, "headers": headers}

    exec(block, names)  # noqa: S102 - our own page

    assert names["rows"] == [{"id": 1}]


@pytest.mark.service
def test_rsyslog_takes_the_configuration_of_the_documentation(tmp_path, authority):
    (block,) = [block for kind, block in BLOCKS if kind == "conf"]
    pair = authority.issue("siem")
    path = tmp_path / "rsyslog.conf"
    path.write_text(
        f'global(defaultNetstreamDriverCAFile="{authority.certificate}"\n'
        f'  defaultNetstreamDriverCertFile="{pair.certificate}"\n'
        f'  defaultNetstreamDriverKeyFile="{pair.key}")\n'
        f'{block}action(type="omfile" file="{tmp_path}/received")\n'
    )

    done = subprocess.run(
        [program("rsyslogd"), "-N1", "-f", path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_an_export_goes_on_where_the_last_one_ended(configured, capsys):
    path, _ = configured
    everything = run("audit", "export", "--config", str(path), capsys=capsys).splitlines()
    rest = run("audit", "export", "--after", "2", "--config", str(path), capsys=capsys)

    assert [json.loads(line)["id"] for line in everything] == [1, 2, 3]
    assert rest.splitlines() == everything[2:]


def test_verify_names_the_row_and_fails(configured, capsys):
    path, database = configured
    said = run("audit", "verify", "--config", str(path), capsys=capsys)
    assert said == "3 rows, 1 to 3: all as they were written\n"

    with tampering(database) as connection:
        connection.execute(text("UPDATE audit_log SET actor = 'mallory' WHERE id = 2"))

    said = run("audit", "verify", "--config", str(path), fails=True, capsys=capsys)
    assert said == "row 2 was changed, added or moved: its seal does not fit\n"


def test_purging_leaves_a_log_that_verifies(configured, capsys):
    path, _ = configured
    run("audit", "purge", "--older-than", "1", "--config", str(path), capsys=capsys)
    said = run("audit", "verify", "--config", str(path), capsys=capsys)
    assert said.startswith("0 rows")
