"""What a package cannot declare is refused when the shape is made, not when a user meets it."""

from collections.abc import Mapping

import pytest

from longshore.config import shape
from longshore.config.compat import Row, Status
from longshore.config.section import Section, Table, setting


class Plain(Section):
    key = "plain"

    value: int = setting(0, "A number.")


def row(key: str, keys: str = "") -> Row:
    return Row(key, Status.WARNED, "for a test", keys)


def test_sections_below_one_key_share_it():
    class Below(Section):
        key = "other.below"

    class Beside(Section):
        key = "other.beside"

    found = shape.build([Plain, Below, Beside], [row("other.more", "a b[] c=D.e")])

    assert [key for key, _ in shape.walk(found)] == [
        "plain", "plain.value", "other", "other.below", "other.beside", "other.more",
        "other.more.a", "other.more.b", "other.more.c", "other.more.c.e",
    ]  # fmt: skip


def test_a_key_below_a_value_is_a_mistake():
    with pytest.raises(TypeError, match=r"value in plain\.value is not a table"):
        shape.build([Plain], [row("plain.value.below")])


def test_a_row_cannot_be_a_value_and_a_table():
    with pytest.raises(TypeError, match=r"a in a\.b is not a table"):
        shape.build([], [row("x", "a a.b")])


def test_a_table_with_free_keys_holds_values_lists_or_tables():
    class Inner(Table):
        value: int = setting(0, "A number.")

    class Nested(Section):
        key = "nested"

        free: Mapping[str, Inner] = setting({}, "Tables.")

    class Deeper(Section):
        key = "deeper"

        free: Mapping[str, Mapping[str, int]] = setting({}, "Free keys below free keys.")

    found = [key for key, _ in shape.walk(shape.build([Nested], []))]
    assert found == ["nested", "nested.free"]
    with pytest.raises(TypeError, match="free keys below free keys cannot be told apart"):
        shape.build([Deeper], [])
