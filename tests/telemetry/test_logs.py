"""The application log and where its lines go."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore.telemetry import logs
from longshore.telemetry.access_log import FIELDS, AccessLog
from longshore.telemetry.exchange import Exchange
from longshore.telemetry.sinks import GatheringSink

logger = logging.getLogger("longshore.test")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The root logger afterwards is the root logger of before."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.captureWarnings(False)


def test_records_carry_their_extra_fields_and_their_stack_trace(capfd: pytest.CaptureFixture[str]):
    logs.configure(level="debug", formatter="json", fields={"env": "test"}, report_caller=True)
    try:
        int("two\nlines")
    except ValueError:
        logger.exception("upload %s failed", "u-1", extra={"repository": "team/app"})

    entry = json.loads(capfd.readouterr().err)
    assert entry["msg"] == "upload u-1 failed"
    assert entry["level"] == "error"
    assert entry["repository"] == "team/app"
    assert entry["env"] == "test"
    assert entry["caller"].startswith("test_logs.py:")
    assert entry["exception"].endswith(
        "ValueError: invalid literal for int() with base 10: 'two\\nlines'"
    )


def test_what_is_below_the_level_is_not_written(capfd: pytest.CaptureFixture[str]):
    logs.configure(level="warn")
    logger.info("quiet")
    logger.warning("loud")

    assert capfd.readouterr().err.count("\n") == 1


def test_a_second_configuration_replaces_the_first(capfd: pytest.CaptureFixture[str]):
    logs.configure(formatter="json")
    close = logs.configure(formatter="text", gather=True)
    logger.info("once")
    close()

    assert capfd.readouterr().err.count("once") == 1


def test_an_unknown_level_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'loud' is not one of panic, fatal, error"):
        logs.configure(level="loud")


def test_a_message_that_does_not_fit_its_arguments_is_written_all_the_same(
    capfd: pytest.CaptureFixture[str],
):
    logs.configure(formatter="json")
    ours = next(one for one in logging.getLogger().handlers if isinstance(one, logs.Handler))
    ours.emit(logging.LogRecord("x", logging.INFO, "x.py", 1, "%d files", ("many",), None))

    assert json.loads(capfd.readouterr().err)["msg"] == "%d files ('many',)"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def test_gathered_lines_keep_their_order_and_are_all_there_after_close(pipe: tuple[int, int]):
    read, write = pipe
    sink = GatheringSink(write)
    for number in range(1000):
        sink.write(b"%d\n" % number)
    sink.close()

    assert os.read(read, 1 << 16) == b"".join(b"%d\n" % number for number in range(1000))


def test_writing_never_waits_for_a_reader_that_has_stopped(pipe: tuple[int, int]):
    read, write = pipe
    sink = GatheringSink(write)
    line = b"x" * 99 + b"\n"
    for _ in range(120_000):
        sink.write(line)

    drained = threading.Thread(
        target=lambda: [None for _ in iter(lambda: os.read(read, 1 << 20)[-1:], b"!")], daemon=True
    )
    drained.start()
    sink.write(b"last\n")
    sink.close()
    os.write(write, b"!")
    drained.join(5)
    assert not drained.is_alive()


def test_what_was_dropped_is_counted_in_the_log(pipe: tuple[int, int]):
    read, write = pipe
    blocker = b"x" * (1 << 16)
    os.write(write, blocker)
    sink = GatheringSink(write)
    sink.write(b"first\n")
    while sink._lines:  # until the writing thread is stuck in the full pipe
        pass
    for _ in range(100_007):
        sink.write(b"l\n")

    seen = b""
    while not seen.endswith(b"7 log lines were lost: nobody read them in time\n"):
        seen += os.read(read, 1 << 20)
    sink.close()


class Collected:
    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass


def exchange(**changes: object) -> Exchange:
    made = Exchange(
        request_id="0123456789abcdef",
        method="GET",
        path="/v2/team/app/manifests/v1",
        client="192.0.2.7",
        host="registry.example",
        user_agent="docker/27",
        route="manifest",
        repository="team/app",
        reference="v1",
        user="alice",
        status=200,
        received=0,
        sent=528,
        seconds=0.0021,
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def logged(**changes: object) -> dict[str, object]:
    sink = Collected()
    AccessLog(sink, formatter="json")(exchange(**changes))
    entry: dict[str, object] = json.loads(sink.lines[0])
    return entry


def test_a_request_is_one_line_with_everything_about_it():
    entry = logged(reason="DENIED", message="not yours")
    del entry["time"]

    assert entry == {
        "level": "info",
        "msg": "request",
        "method": "GET",
        "path": "/v2/team/app/manifests/v1",
        "route": "manifest",
        "repository": "team/app",
        "reference": "v1",
        "user": "alice",
        "client": "192.0.2.7",
        "host": "registry.example",
        "agent": "docker/27",
        "status": 200,
        "in": 0,
        "out": 528,
        "ms": 2.1,
        "id": "0123456789abcdef",
        "reason": "DENIED",
        "error": "not yours",
    }
    assert tuple(entry)[2:] == FIELDS


def test_what_is_empty_is_left_out():
    assert "user" not in logged(user="")
    assert "reason" not in logged()


@pytest.mark.parametrize(
    ("status", "reason", "level"),
    [
        (200, "", "info"),
        (404, "MANIFEST_UNKNOWN", "info"),
        (500, "UNKNOWN", "error"),
        (500, "client disconnected", "info"),
        (503, "UNAVAILABLE", "info"),
        (507, "STORAGE_FULL", "error"),
    ],
)
def test_only_faults_of_the_server_are_errors(status: int, reason: str, level: str):
    assert logged(status=status, reason=reason)["level"] == level


def test_a_very_long_path_is_cut():
    assert len(str(logged(path="/" + "a" * 100_000)["path"])) < 1100


def test_every_field_of_a_request_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()

    assert [name for name in FIELDS if f"`{name}`" not in page] == []
