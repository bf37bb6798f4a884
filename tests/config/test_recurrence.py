"""When something comes back: intervals, cron expressions, names, time zones."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.config import shape
from longshore.config.binding import Binding
from longshore.config.document import Entries, parse
from longshore.config.explain import written
from longshore.config.problems import Report
from longshore.config.recurrence import Cron, Every, Recurring, parse_recurrence
from longshore.config.section import Section, setting

BERLIN = ZoneInfo("Europe/Berlin")


class Cleaning(Section):
    key = "cleaning"

    schedule: Recurring | None = setting(None, "When to clean.")
    nightly: Recurring = setting(Cron("@daily"), "When to clean well.")


def bound(text: str) -> tuple[Cleaning | None, Report]:
    report = Report()
    binding = Binding(shape.build([Cleaning], []), report)
    root = parse(text, "config.yml", report)
    assert isinstance(root, Entries)
    found = binding.sections(root, [Cleaning])
    cleaning = found.get(Cleaning)
    assert cleaning is None or isinstance(cleaning, Cleaning)
    return cleaning, report


def at(text: str, zone: ZoneInfo | None = None, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC, fold=fold).timestamp()


def ticks(text: str, start: float, count: int) -> list[str]:
    """The next ``count`` moments, in UTC."""
    when, found = parse_recurrence(text), []
    for _ in range(count):
        start = when.after(start)
        found.append(datetime.fromtimestamp(start, UTC).strftime("%a %d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 3 * * *", ["Thu 26 03:00:00", "Fri 27 03:00:00"]),
        ("*/20 9-17 * * MON-FRI", ["Thu 26 09:00:00", "Thu 26 09:20:00"]),
        ("30 0 0 * * *", ["Fri 27 00:00:30", "Sat 28 00:00:30"]),
        ("0 12 * * 6,7", ["Sat 28 12:00:00", "Sun 29 12:00:00"]),
        ("@hourly", ["Thu 26 02:00:00", "Thu 26 03:00:00"]),
        ("@weekly", ["Sun 29 00:00:00", "Sun 06 00:00:00"]),
        ("24h", ["Fri 27 00:00:00", "Sat 28 00:00:00"]),
        ("90m", ["Thu 26 01:30:00", "Thu 26 03:00:00"]),
        ("CRON_TZ=Asia/Tokyo 0 3 * * *", ["Thu 26 18:00:00", "Fri 27 18:00:00"]),
        ("CRON_TZ=America/New_York @daily", ["Thu 26 05:00:00", "Fri 27 05:00:00"]),
    ],
)
def test_the_next_moments_are_those_that_cron_would_choose(text, expected):
    assert ticks(text, at("2026-11-26 01:15"), 2) == expected


def test_a_time_that_the_clock_leaves_out_in_spring_is_made_up_for_at_once():
    found = Cron("CRON_TZ=Europe/Berlin 30 2 * * *").after(at("2026-03-29 01:00", BERLIN))

    assert found == at("2026-03-29 03:00", BERLIN)


def test_a_time_that_comes_twice_in_autumn_counts_once():
    when = Cron("CRON_TZ=Europe/Berlin 45 2 * * *")
    first = when.after(at("2026-10-25 01:00", BERLIN))

    assert first == at("2026-10-25 02:45", BERLIN)
    # Asked again in the second of the two hours: it has been today.
    assert when.after(at("2026-10-25 02:30", BERLIN, fold=1)) == at("2026-10-26 02:45", BERLIN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no schedule; write a cron expression such as 0 3"),
        ("sometimes", "no schedule"),
        ("0s", "must be longer than 0s"),
        ("0 3 * *", "wrong number of fields"),
        ("61 3 * * *", "bad minute"),
        ("0 3 * * FUNDAY", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 */20 * 1L", "names a day that never comes"),
        ("@reboot", "is not known; there are: @hourly"),
        ("CRON_TZ=Mars/Base 0 3 * * *", "'Mars/Base' is no time zone"),
        ("CRON_TZ=../../etc/passwd 0 3 * * *", "is no time zone"),
    ],
)
def test_what_is_no_schedule_is_refused_with_what_to_write(text, said):
    with pytest.raises(ValueError, match=said):
        parse_recurrence(text)


@pytest.mark.parametrize(
    "text", ["0 3 * * *", "@daily", "1h30m", "CRON_TZ=Europe/Berlin 0 3 * * *"]
)
def test_a_schedule_is_written_as_it_is_read(text):
    assert str(parse_recurrence(text)) == text
    assert parse_recurrence(str(parse_recurrence(text))) == parse_recurrence(text)


def test_a_setting_takes_it_and_explains_it():
    cleaning, report = bound('cleaning: {schedule: "0 3 * * *", nightly: 12h}')

    assert cleaning == Cleaning(schedule=Cron("0 3 * * *"), nightly=Every(12 * 3600))
    assert not report.problems
    leaf = shape.of_model(Cleaning).keys["schedule"].shape
    assert written(cleaning.schedule, leaf) == "0 3 * * *"


def test_a_setting_that_is_wrong_is_a_problem_at_its_line():
    _, report = bound("cleaning:\n  schedule: 0 25 * * *")

    (problem,) = report.problems
    assert "cleaning.schedule" in str(problem)
    assert "bad hour" in str(problem)


@given(st.floats(1, 1e6), st.floats(0, 4e9))
def test_the_next_moment_of_an_interval_is_within_it(seconds, now):
    tick = Every(seconds).after(now)

    assert now < tick <= now + seconds * 1.001


@given(
    st.sampled_from(["*/7 * * * *", "15 2 * * *", "30 2 * * 0", "0 */3 1-7 * *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana"]),
    st.floats(1e9, 2e9),
)
def test_the_next_moment_is_later_and_the_same_however_it_is_approached(fields, zone, now):
    when = Cron(f"CRON_TZ={zone} {fields}")
    tick = when.after(now)

    assert tick > now
    assert when.after((now + tick) / 2) == tick
