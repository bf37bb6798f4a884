"""Digests: the grammar, the helpful refusals, and the arithmetic of hashes."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.oci.digest import ALGORITHMS, Digest, new_hash
from longshore.oci.errors import DigestInvalid

HEX = "0123456789abcdef"


@given(st.sampled_from(sorted(ALGORITHMS)), st.data())
def test_every_well_formed_digest_is_its_own_text(algorithm, data):
    length = ALGORITHMS[algorithm]
    text = f"{algorithm}:{data.draw(st.text(HEX, min_size=length, max_size=length))}"

    digest = Digest(text)

    assert str(digest) == text
    assert (digest.algorithm, digest.hex) == tuple(text.split(":"))


@given(st.text())
def test_anything_else_is_refused_with_a_digest_error(text):
    try:
        assert Digest(text) == text
    except DigestInvalid as error:
        assert error.status == 400
        assert error.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected algorithm:hex"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", "unsupported digest algorithm"),
        ("sha256:abc", "has 3 hexadecimal characters where sha256 has 64"),
        ("sha256:" + "A" * 64, "lower-case"),
        ("sha256:" + "a" * 64 + "\n", "hexadecimal characters"),
        ("sha256:" + "../" * 21 + "a", "lower-case"),
    ],
)
def test_a_malformed_digest_is_refused_with_the_reason(text, reason):
    with pytest.raises(DigestInvalid, match=reason):
        Digest(text)


@given(st.binary(), st.sampled_from(sorted(ALGORITHMS)))
def test_the_digest_of_content_is_that_of_hashlib(content, algorithm):
    expected = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"

    assert Digest.of(content, algorithm) == expected


@given(st.lists(st.binary(max_size=40)))
def test_a_running_hash_arrives_where_the_whole_does(pieces):
    state = new_hash("sha256")
    for piece in pieces:
        state.update(piece)
        Digest.finish(state)  # looking must not disturb

    assert Digest.finish(state) == Digest.of(b"".join(pieces))


def test_an_unknown_algorithm_names_those_that_work():
    with pytest.raises(DigestInvalid, match="sha256 or sha512"):
        new_hash("md5")
