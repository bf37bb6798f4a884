"""The plan by which several objects become one."""

from hypothesis import given
from hypothesis import strategies as st

from longshore.storage.joining import plan
from longshore.storage.object_store import Source

MINIMUM, MAXIMUM = 5, 12


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_the_groups_are_exactly_the_sources_and_only_the_last_is_small(sizes: list[int]):
    sources = [Source(f"s{number}", size) for number, size in enumerate(sizes)]

    groups = plan(sources, MINIMUM, MAXIMUM)

    expected = [(source.key, byte) for source in sources for byte in range(source.size)]
    planned = [
        (piece.key, byte)
        for group in groups
        for piece in group
        for byte in range(piece.start, piece.start + piece.length)
    ]
    assert planned == expected
    for group in groups[:-1]:
        assert sum(piece.length for piece in group) >= MINIMUM
    for group in groups:
        length = sum(piece.length for piece in group)
        assert length <= MAXIMUM if len(group) == 1 else length < 2 * MINIMUM
