import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.config.quantities import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("100ms", 0.1),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1h30m", 5400.0),
        ("168h", 604800.0),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("1h1m1s1ms1us1ns", 3661.001001001),
    ],
)
def test_a_duration_is_read_as_go_does(text: str, seconds: float):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5 s", "5d", "1h 30m", "soon", "5s!", "1e3s", "٣s", "."])
def test_what_is_no_duration_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match=r"write a number and a unit|has no unit"):
        parse_duration(text)


def test_a_bare_number_is_refused_because_go_reads_nanoseconds():
    with pytest.raises(ValueError, match="'30' has no unit; write 30s for seconds"):
        parse_duration("30")


def test_a_negative_duration_is_refused():
    with pytest.raises(ValueError, match="negative"):
        parse_duration("-5s")


def test_a_duration_that_go_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="longer than"):
        parse_duration("9999999999h")


@given(st.integers(0, 2**52))
def test_a_duration_survives_being_written_and_read(nanoseconds: int):
    seconds = nanoseconds / 1e9

    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("4194304", 4 << 20), ("4MiB", 4 << 20), ("4 mib", 4 << 20), ("10MB", 10**7), ("1KiB", 1024)],
)  # fmt: skip
def test_a_size_has_binary_and_decimal_units(text: str, count: int):
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5MiB", "4XB", "4 M iB"])
def test_what_is_no_size_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match="such as 512KiB"):
        parse_size(text)


@given(st.integers(0, 2**62))
def test_a_size_survives_being_written_and_read(count: int):
    assert parse_size(format_size(count)) == count
