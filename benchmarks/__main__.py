"""``python -m benchmarks``: measure, print, and write the page down."""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import servers
from benchmarks.cases import CASES, Case
from benchmarks.comparison import Result, compare
from benchmarks.content import FULL, QUICK, TINY, Scale
from benchmarks.failure import BenchmarkFailed
from benchmarks.report import circumstances, table, write_between_markers
from benchmarks.servers import Program

_PAGE: Final = Path(__file__).parents[1] / "docs/benchmarks.md"
_SCALES: Final = {"full": FULL, "quick": QUICK, "tiny": TINY}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the exit code."""
    options = _parser().parse_args(arguments)
    if options.list:
        print("\n".join(case.name for case in CASES))
        return 0
    try:
        _run(options)
    except BenchmarkFailed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Longshore beside other registries on this machine.",
    )
    parser.add_argument("--rounds", type=int, help="measure every case so often")
    parser.add_argument(
        "--only",
        metavar="CASE",
        action="append",
        help="only cases whose name contains this; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    parser.add_argument("--scale", choices=_SCALES, default="full", help="how much work to do")
    parser.add_argument(
        "--quick", action="store_const", dest="scale", const="quick", help="about two minutes"
    )
    parser.add_argument(
        "--longshore", metavar="PROGRAM", help="what to measure (default: beside this Python)"
    )
    parser.add_argument(
        "--peer",
        metavar="PROGRAM",
        action="append",
        default=[],
        help="a further registry: `PROGRAM serve CONFIG` with distribution's config.yml",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("/var/tmp"),
        help="where the servers keep their data for the time being (default: /var/tmp)",
    )
    parser.add_argument(
        "--client", action="store_true", help="also measure how fast the client is by itself"
    )
    parser.add_argument("--write", action="store_true", help=f"write the results to {_PAGE.name}")
    return parser


def _run(options: argparse.Namespace) -> None:
    ours, others = servers.longshore(options.longshore), servers.peers(options.peer)
    if not others:
        raise BenchmarkFailed(
            "there is nothing to compare with: install docker-registry "
            "(scripts/install-debian-packages) or name a --peer"
        )
    scale = _SCALES[options.scale]
    if options.rounds:
        scale = dataclasses.replace(scale, rounds=options.rounds)
    cases = _chosen(options.only)
    with tempfile.TemporaryDirectory(prefix="longshore-bench-", dir=options.directory) as name:
        directory = Path(name)
        how = circumstances([ours, *others], scale, directory)
        results = compare([ours, *others], cases, scale, directory, _say)
        client = servers.sink() if options.client else None
        if client:
            _add_client(results, client, scale, directory)
    tables = [table(results, ours, peer, client) for peer in others]
    text = "\n\n".join([how, *tables])
    print(text)
    if options.write:
        write_between_markers(_PAGE, text)


def _chosen(words: Sequence[str] | None) -> list[Case]:
    chosen = [case for case in CASES if not words or any(word in case.name for word in words)]
    if not chosen:
        raise BenchmarkFailed(f"no case has {words} in its name; --list names them")
    return chosen


def _add_client(results: Sequence[Result], client: Program, scale: Scale, directory: Path) -> None:
    """Measure the client against the server that does nothing, once."""
    cases = [result.case for result in results if result.case.of_client]
    once = dataclasses.replace(scale, rounds=1)
    alone = {result.case.name: result for result in compare([client], cases, once, directory, _say)}
    for result in results:
        if result.case.name in alone:
            result.samples.update(alone[result.case.name].samples)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
