"""The test ground itself: a service that does not work says so plainly."""

import sys
from pathlib import Path

import psycopg
import pytest

from tests.services.processes import Service, free_port, listening
from tests.services.programs import Shell, program


def test_a_service_that_ends_early_shows_its_log(tmp_path: Path) -> None:
    broken = Service("broken", [sys.executable, "-c", "print('no such key')"], tmp_path / "log")

    with pytest.raises(pytest.fail.Exception, match="no such key"):
        broken.wait_until(lambda: False)


def test_a_service_that_ends_badly_after_sigterm_fails(tmp_path: Path) -> None:
    stubborn = Service("stubborn", ["sleep", "60"], tmp_path / "log")

    with pytest.raises(AssertionError, match="code -15"):
        stubborn.stop_cleanly()


def test_a_missing_program_skips_the_test_outside_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("tests.services.programs.GO_TOOLS", Path("/nowhere"))

    with pytest.raises(pytest.skip.Exception, match="install-go-tools"):
        program("conformance")


def test_a_missing_program_fails_the_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        program("no-such-program")


def test_a_program_runs_with_a_home_of_its_own(shell: Shell) -> None:
    assert shell("printenv", "HOME").out.strip() == str(shell.home)


@pytest.mark.service
def test_each_test_gets_an_empty_postgresql_database(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        tables = connection.execute("select 1 from pg_tables where schemaname = 'public'")

        assert tables.fetchall() == []


def test_a_free_port_is_free() -> None:
    assert not listening(free_port())
