"""Log lines: three formats, and nothing a client sends can break out of its field."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.telemetry.rendering import Formatter, renderer

anything = st.text(alphabet=st.characters(exclude_categories=()), max_size=60)
fields = st.dictionaries(st.sampled_from(["path", "user", "agent"]), anything, max_size=3)
formats = st.sampled_from(["json", "logstash", "text"])


@given(formats, anything, fields)
def test_an_entry_is_one_line_whatever_is_in_it(
    how: Formatter, message: str, entry: dict[str, str]
):
    line = renderer(how, {"env": "prod"})(1.5, "info", message, entry)

    assert line.endswith(b"\n")
    assert not re.search(rb"[\x00-\x09\x0b-\x1f]", line)
    assert line.count(b"\n") == 1


@given(anything, fields)
def test_json_gives_back_what_was_put_in(message: str, entry: dict[str, str]):
    line = renderer("json", {"env": "prod"})(1.5, "info", message, entry)

    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "msg": message,
        "env": "prod",
        **entry,
    }


def test_text_cannot_be_given_a_field_that_is_not_there():
    line = renderer("text", {})(0, "info", "request", {"user": 'eve" status=200 x="'})

    assert line.decode().count(" status=") == 1
    assert r'user="eve\" status=200 x=\""' in line.decode()


def test_text_reads_like_logrus():
    line = renderer("text", {"env": "prod"})(0, "info", "listening on :5000", {"pid": 7})

    assert line == (
        b'time=1970-01-01T00:00:00.000Z level=info msg="listening on :5000" pid=7 env=prod\n'
    )


def test_logstash_has_its_own_names():
    entry = json.loads(renderer("logstash", {})(0, "warning", "disk", {}))

    assert entry == {
        "@timestamp": "1970-01-01T00:00:00.000Z",
        "@version": "1",
        "level": "warning",
        "message": "disk",
    }


@pytest.mark.parametrize("how", ["json", "text", "logstash"])
def test_fields_of_the_configuration_are_on_every_line(how: Formatter):
    line = renderer(how, {"service": "registry", "zone": 3})(0, "info", "x", {})

    assert b"registry" in line
    assert b"3" in line
