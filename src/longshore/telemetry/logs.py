"""The application log: what ``logging`` is given, in the configured format, on standard error."""

import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from longshore.telemetry.rendering import Formatter, Render, renderer
from longshore.telemetry.sinks import DirectSink, GatheringSink, Sink

STDOUT: Final = 1
STDERR: Final = 2
#: distribution's level names (logrus) and ours.
LEVELS: Final[Mapping[str, int]] = {
    "panic": logging.CRITICAL,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}
#: Libraries that speak of every request or statement at this level.
_TALKATIVE: Final = (
    "alembic", "asyncio", "azure", "botocore", "httpcore", "httpx", "msal", "sqlalchemy", "uvicorn",
)  # fmt: skip
#: Attributes that every record has: the rest came with ``extra=``.
_USUAL: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Handler(logging.Handler):
    """Renders records and hands the lines to a sink. ``extra=`` fields become fields."""

    def __init__(self, render: Render, sink: Sink, *, report_caller: bool) -> None:
        super().__init__()
        self._render, self.sink, self._report_caller = render, sink, report_caller

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, Any] = {"logger": record.name}
        if self._report_caller:
            fields["caller"] = f"{record.filename}:{record.lineno}"
        fields.update(
            (name, value) for name, value in record.__dict__.items() if name not in _USUAL
        )
        if record.exc_info and record.exc_info[0]:
            fields["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args}"
        level = _level_name(record.levelno)
        self.sink.write(self._render(record.created, level, message, fields))

    def close(self) -> None:
        self.sink.close()
        super().close()


def _level_name(number: int) -> str:
    if number >= logging.CRITICAL:
        return "fatal"
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def configure(
    *,
    level: str = "info",
    formatter: Formatter = "text",
    fields: Mapping[str, Any] | None = None,
    report_caller: bool = False,
    gather: bool = False,
) -> Callable[[], None]:
    """Send every logger to standard error. With ``gather`` lines are written from a thread: for
    processes that serve. Called again, it replaces what it set before, as a worker does with its
    supervisor's. Returns a function that writes what still waits.

    Raises ValueError for an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} is not one of {', '.join(LEVELS)}")
    sink: Sink = GatheringSink(STDERR) if gather else DirectSink(STDERR)
    handler = Handler(renderer(formatter, fields or {}), sink, report_caller=report_caller)
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[level])
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(LEVELS[level], logging.WARNING))
    logging.captureWarnings(True)
    return handler.close
