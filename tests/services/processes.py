"""A program that runs beside the tests, from its start to a clean end."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

import pytest

_RUNNING: list["Service"] = []
_LOG_LINES, _LINE_LENGTH = 60, 400


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now; the kernel hands out another one each time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


class Service:
    """One running program: started by the constructor, ended by `stop`.

    Its output goes to `log`; what it wrote there during a test that fails is in the report.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._seen = 0
        with log.open("ab") as sink:
            self.process = subprocess.Popen(
                [str(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=env,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                cwd="/",
                start_new_session=True,
            )
        _RUNNING.append(self)

    @property
    def pid(self) -> int:
        """The process id of the program itself."""
        return self.process.pid

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until `ready()`; a program that ends or is never ready fails with its log."""
        deadline = time.monotonic() + seconds
        while not ready():
            if (code := self.process.poll()) is not None:
                self.forget()
                pytest.fail(f"{self.name} ended with code {code}:\n{self.tail()}", pytrace=False)
            if time.monotonic() > deadline:
                self.stop(signal.SIGKILL)
                pytest.fail(f"{self.name} not ready in {seconds} s:\n{self.tail()}", pytrace=False)
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        """Send the signal, wait for the end and return the exit code (negative: a signal's)."""
        self.forget()
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(
                f"{self.name} did not end within {seconds} s of {how.name}:\n{self.tail()}",
                pytrace=False,
            )

    def stop_cleanly(self) -> None:
        """End it as an init system would; anything but exit code 0 is a failure."""
        code = self.stop()
        assert code == 0, f"{self.name} ended with code {code} after SIGTERM:\n{self.tail()}"

    def forget(self) -> None:
        """No longer show this program's log with failing tests."""
        if self in _RUNNING:
            _RUNNING.remove(self)

    def tail(self, lines: int = _LOG_LINES) -> str:
        """The last lines of its output since `mark`; nothing when the log is gone."""
        if not self.log.exists():
            return ""
        with self.log.open(errors="replace") as source:
            source.seek(self._seen)
            return "\n".join(line[:_LINE_LENGTH] for line in source.read().splitlines()[-lines:])

    def mark(self) -> None:
        """What was written so far belongs to tests that are over."""
        self._seen = self.log.stat().st_size


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Note how long the logs are, so that a failing test shows only its own part."""
    for service in _RUNNING:
        service.mark()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the running services wrote during a test that failed."""
    report = yield
    if report.failed:
        for service in _RUNNING:
            if written := service.tail():
                report.sections.append((f"log of {service.name}", written))
    return report
