"""The results as Markdown tables, and what has to be said about how they came about."""

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.comparison import Result
from benchmarks.content import Scale
from benchmarks.failure import BenchmarkFailed
from benchmarks.servers import Program

BEGIN: Final = "<!-- results: begin (written by make bench) -->"
END: Final = "<!-- results: end -->"
S3_BEGIN: Final = "<!-- S3: begin (written by python -m benchmarks.s3 --write) -->"
S3_END: Final = "<!-- S3: end -->"
_PIECES: Final = 512


def table(results: Sequence[Result], ours: Program, theirs: Program, client: Program | None) -> str:
    """One line for each case: both values, how many times better, CPU time, and the budget."""
    head = ["case", ours.name, theirs.name, "times better (min..max)"]
    head += [f"CPU {ours.name}", f"CPU {theirs.name}", "budget", "met"]
    if client:
        head.append("client alone")
    rows = [_row(result, ours.name, theirs.name, client) for result in results]
    return _aligned([head, *rows])


def _row(result: Result, ours: str, theirs: str, client: Program | None) -> list[str]:
    case = result.case
    ratios = result.ratios(ours, theirs)
    row = [
        case.name,
        _quantity(result.value(ours), case.unit),
        _quantity(result.value(theirs), case.unit),
        f"{_figure(median(ratios))} ({_figure(min(ratios))}..{_figure(max(ratios))})",
        _cpu(result.cpu(ours), case.operation),
        _cpu(result.cpu(theirs), case.operation),
        *_budget(result, median(ratios), ours),
    ]
    if client:
        known = client.name in result.samples
        row.append(_quantity(result.value(client.name), case.unit) if known else "")
    return row


def _budget(result: Result, ratio: float, ours: str) -> tuple[str, str]:
    case = result.case
    if case.at_least is not None:
        return f"≥ {case.at_least:g}x", "yes" if ratio >= case.at_least else "**no**"
    if case.at_most is not None:
        met = result.value(ours) < case.at_most
        return f"< {case.at_most:g} {case.unit}", "yes" if met else "**no**"
    return "", ""


def _cpu(seconds: float | None, operation: str) -> str:
    if seconds is None:
        return ""
    factor, unit = (1e6, "µs") if seconds < 1e-3 else (1e3, "ms") if seconds < 1 else (1, "s")
    return f"{_figure(seconds * factor)} {unit}/{operation}"


def _quantity(value: float, unit: str) -> str:
    if unit == "s" and value < 1:
        return f"{_figure(value * 1e3)} ms"
    return f"{_figure(value)} {unit}"


def _figure(value: float) -> str:
    """Three digits that count, and no exponent."""
    if value >= 100:
        return f"{round(value, 3 - len(str(int(value)))):,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        ("-" * width if not number else "-" * (width - 1) + ":")
        for number, width in enumerate(widths)
    ]
    return "\n".join([line(rows[0]), line(rule), *(line(row) for row in rows[1:])])


def circumstances(programs: Sequence[Program], scale: Scale, directory: Path) -> str:
    """The machine, the programs and the amount of work, as a Markdown list."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    versions = ", ".join(f"{program.name} {program.version}" for program in programs)
    return "\n".join(
        [
            f"- {time.strftime('%Y-%m-%d')}; {versions}; Python {platform.python_version()}",
            (
                f"- {os.cpu_count()} CPUs ({_cpu_model()}), {memory:.0f} GiB of memory, {system}, "
                f"Linux {platform.release().split('-')[0]}"
            ),
            f"- the disk takes {_disk_speed(directory):.0f} MB/s (one writer, fsync at the end)",
            (
                f"- {scale.rounds} rounds; loads of {scale.seconds} s or longer; "
                f"large blobs of {scale.large / 1e6:g} MB (chunks of {scale.chunk / 1e6:g} MB), "
                f"small ones of {scale.small / 1e3:g} kB (two chunks)"
            ),
        ]
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _disk_speed(directory: Path) -> float:
    """MB/s, measured now."""
    piece = os.urandom(1 << 20)
    path = directory / "disk"
    began = time.monotonic()
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(_PIECES):
                file.write(piece)
            os.fsync(file.fileno())
        return _PIECES * len(piece) / 1e6 / (time.monotonic() - began)
    finally:
        path.unlink()


def write_between_markers(page: Path, text: str, first: str = BEGIN, last: str = END) -> None:
    """Replace what stands between the markers of ``page``. Raises BenchmarkFailed without them."""
    before, begin, rest = page.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise BenchmarkFailed(f"{page} lacks the lines {first!r} and {last!r}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
