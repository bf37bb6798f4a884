"""Running the cases: one server after the other, again and again, so that whatever else the
machine does meets all of them."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.cases import NONE, Bench, Case, Contender, Sample
from benchmarks.content import Content, Scale
from benchmarks.failure import BenchmarkFailed
from benchmarks.servers import Program, Setup

Report = Callable[[str], None]

_MEMORY: Final = Path("/dev/shm")
#: Of the bytes that the storm writes, how many must be free.
_ROOM: Final = 1.5


@dataclass
class Result:
    """What came out for one case: samples by program, in the order of the rounds."""

    case: Case
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def value(self, program: str) -> float:
        return median(sample.value for sample in self.samples[program])

    def cpu(self, program: str) -> float | None:
        """Median CPU seconds of one operation."""
        known = [sample.cpu for sample in self.samples[program] if sample.cpu is not None]
        return median(known) if known else None

    def ratios(self, ours: str, theirs: str) -> list[float]:
        """How many times better ``ours`` was, round by round."""
        return [
            self.case.times_better(mine.value, other.value)
            for mine, other in zip(self.samples[ours], self.samples[theirs], strict=True)
        ]


def compare(
    programs: Sequence[Program],
    cases: Sequence[Case],
    scale: Scale,
    directory: Path,
    report: Report,
) -> list[Result]:
    """Measure every case for every program; ``directory`` holds all files and is left empty.

    Raises BenchmarkFailed where a measurement would mean nothing.
    """
    _check_room(directory, scale)
    results = [Result(case) for case in cases]
    scratch = directory / "client"
    scratch.mkdir()
    content = Content(scratch, scale)
    bench = Bench(scale, content, scratch)
    try:
        for setup in dict.fromkeys(case.setup for case in cases):
            of_setup = [result for result in results if result.case.setup == setup]
            _measure(programs, setup, of_setup, bench, directory, report)
    finally:
        content.close()
        shutil.rmtree(scratch)
    return [result for result in results if result.samples]


def _measure(
    programs: Sequence[Program],
    setup: Setup,
    results: Sequence[Result],
    bench: Bench,
    directory: Path,
    report: Report,
) -> None:
    with ExitStack() as stack:
        place = _place(setup, bench.scale, directory, stack)
        if place is None:
            report(f"no room in {_MEMORY}: cases in memory are left out")
            return
        contenders = [
            Contender(program, bench, place / f"{setup.name}-{program.name}")
            for program in programs
        ]
        for contender in contenders:
            stack.callback(shutil.rmtree, contender.directory, ignore_errors=True)
            stack.callback(contender.stop)
            if setup != NONE:
                report(f"starting {contender.program.name} ({setup.name})")
                contender.start(setup)
        for result in results:
            for _ in range(1 if result.case.once else bench.scale.rounds):
                for contender in contenders:
                    _sample(contender, result)
            report(_progress(result))


def _sample(contender: Contender, result: Result) -> None:
    sample = result.case.run(contender)
    result.samples.setdefault(contender.program.name, []).append(sample)
    if contender.server:
        contender.server.shorten_log()


def _place(setup: Setup, scale: Scale, directory: Path, stack: ExitStack) -> Path | None:
    if not setup.memory:
        return directory
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < 32 * scale.large:
        return None
    place = _MEMORY / directory.name
    place.mkdir()
    stack.callback(shutil.rmtree, place, ignore_errors=True)
    return place


def _progress(result: Result) -> str:
    unit = result.case.unit
    values = [f"{name} {result.value(name):.4g} {unit}" for name in result.samples]
    return f"{result.case.name}: " + ", ".join(values)


def _check_room(directory: Path, scale: Scale) -> None:
    needed = int(scale.storm * scale.large * _ROOM)
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise BenchmarkFailed(
            f"{directory} has {free >> 20} MiB free; the benchmark needs {needed >> 20} MiB: "
            "choose another place with --directory"
        )
