"""The benchmark runs from end to end, on sizes so small that its figures mean nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.cases import Case, Sample
from benchmarks.comparison import Result
from benchmarks.failure import BenchmarkFailed
from benchmarks.report import BEGIN, END, table, write_between_markers
from benchmarks.servers import Program

from tests.services.programs import PROJECT, program
from tests.services.registries import server_program

OURS, THEIRS = Program("longshore", (), "1"), Program("peer", (), "2")

#: One of every kind.
SOME = (
    "manifest GET by tag, 1 client",
    "blob pull, small, 1 client",
    "blob pull, large, 1 client",
    "blob push, small, monolithic, 16 clients",
    "blob push, large, chunked, 1 client, in memory",
    "crane pull",
    "tags/list",
    "_catalog",
    "largest process",
    "start on an empty directory",
)


@pytest.mark.service
def test_every_kind_of_case_is_measured_and_nothing_is_left_behind(tmp_path: Path) -> None:
    for name in ("docker-registry", "wrk", "crane"):
        program(name)
    chosen = [part for case in SOME for part in ("--only", case)]
    argv = [sys.executable, "-m", "benchmarks", "--scale", "tiny", "--client", *chosen]
    argv += ["--directory", str(tmp_path), "--longshore", server_program()]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=110, check=False, cwd=PROJECT
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    for case in SOME:
        assert any(case in row for row in rows), done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.service
@pytest.mark.usefixtures("ceph")  # says what is missing; the benchmark has a service of its own
def test_both_servers_are_measured_on_one_s3_service() -> None:
    program("docker-registry")
    argv = [sys.executable, "-m", "benchmarks.s3", "--scale", "tiny", "--only", "blob push, large"]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=110, check=False, cwd=PROJECT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| blob push, large") == 4


def _case(*, more_is_better: bool, at_least: float | None = None, at_most: float | None = None):
    return Case(
        "a case",
        None,  # type: ignore[arg-type]
        "MB/s" if more_is_better else "s",
        "blob",
        lambda _contender: Sample(0),
        more_is_better=more_is_better,
        at_least=at_least,
        at_most=at_most,
    )


def _cells(case: Case, ours: list[float], theirs: list[float]) -> list[str]:
    samples = {"longshore": [Sample(v, 0.0125) for v in ours], "peer": [Sample(v) for v in theirs]}
    text = table([Result(case, samples)], OURS, THEIRS, None)
    return [cell.strip() for cell in text.splitlines()[2].strip("|").split("|")]


def test_a_ratio_is_the_median_of_rounds_with_its_range() -> None:
    cells = _cells(_case(more_is_better=True, at_least=2), [300, 100, 250], [100, 100, 100])
    assert cells[1:4] == ["250 MB/s", "100 MB/s", "2.50 (1.00..3.00)"]
    assert cells[4:] == ["12.5 ms/blob", "", "≥ 2x", "yes"]


def test_where_less_is_better_half_the_time_is_twice_as_good() -> None:
    cells = _cells(_case(more_is_better=False, at_most=0.4), [0.5], [1.0])
    assert cells[1:4] == ["500 ms", "1.00 s", "2.00 (2.00..2.00)"]
    assert cells[-2:] == ["< 0.4 s", "**no**"]


def test_figures_have_three_digits_that_count() -> None:
    shown = [
        _cells(_case(more_is_better=True), [value], [1])[1].removesuffix(" MB/s")
        for value in (0.123456, 9.876, 12.34, 123.4, 1234.5, 98765.4)
    ]
    assert shown == ["0.12", "9.88", "12.3", "123", "1,230", "98,800"]


def test_results_replace_only_what_stands_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n")
    write_between_markers(page, "new")
    assert page.read_text() == f"before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"


def test_a_page_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text")
    with pytest.raises(BenchmarkFailed, match=re.escape(BEGIN)):
        write_between_markers(page, "new")
    assert page.read_text() == "text"
