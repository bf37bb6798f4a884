"""Repository names and tags against the regular expressions printed in the specification."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.oci.digest import Digest
from longshore.oci.errors import NameInvalid, TagInvalid
from longshore.oci.names import RepositoryName, Tag, parse_reference

# OCI Distribution 1.1, "Pulling manifests", copied as the oracle.
SPECIFIED_NAME = re.compile(
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
)
SPECIFIED_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
SHA = "sha256:" + "0" * 64


@given(st.one_of(st.text("ab0._-/A%\n", max_size=12), st.text(max_size=300)))
def test_a_name_is_accepted_exactly_when_the_specification_accepts_it(text):
    expected = bool(SPECIFIED_NAME.fullmatch(text)) and len(text) <= 255
    try:
        accepted = RepositoryName(text) == text
    except NameInvalid:
        accepted = False

    assert accepted == expected


@given(st.one_of(st.text("ab0._-/A%\n", max_size=12), st.text(max_size=200)))
def test_a_tag_is_accepted_exactly_when_the_specification_accepts_it(text):
    try:
        accepted = Tag(text) == text
    except TagInvalid:
        accepted = False

    assert accepted == bool(SPECIFIED_TAG.fullmatch(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Team/App", "must be lower case: try 'team/app'"),
        ("a" * 256, "has 256 characters; at most 255 fit"),
        ("a//b", "is not a repository name"),
        ("../../etc/passwd", "is not a repository name"),
        ("", "is not a repository name"),
    ],
)
def test_a_malformed_name_is_refused_with_the_reason(text, reason):
    with pytest.raises(NameInvalid, match=re.escape(reason)):
        RepositoryName(text)


def test_a_tag_that_is_too_long_says_how_long_it_may_be():
    with pytest.raises(TagInvalid, match="129 characters; at most 128"):
        Tag("a" * 129)


def test_a_reference_with_a_colon_is_a_digest_and_any_other_a_tag():
    assert isinstance(parse_reference(SHA), Digest)
    assert isinstance(parse_reference("latest"), Tag)


def test_the_fallback_tag_of_a_digest_is_recognised():
    tag = Tag.for_referrers(Digest(SHA))

    assert tag == "sha256-" + "0" * 64
    assert tag.is_referrers_fallback
    assert not Tag("sha256-abc").is_referrers_fallback


def test_a_sha512_fallback_tag_keeps_64_digits():
    tag = Tag.for_referrers(Digest("sha512:" + "ab" * 64))

    assert tag == "sha512-" + "ab" * 32
    assert tag.is_referrers_fallback
