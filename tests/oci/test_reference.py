"""References as people type them."""

import pytest

from longshore.oci.errors import NameInvalid, RegistryError
from longshore.oci.reference import Reference

SHA = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("alpine", "docker.io/library/alpine"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("team/app", "docker.io/team/app"),
        ("index.docker.io/alpine", "docker.io/library/alpine"),
        ("localhost/app", "localhost/app"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("registry.example/a/b/c:1", "registry.example/a/b/c:1"),
        ("[::1]:5000/app", "[::1]:5000/app"),
        (f"registry.example/app@{SHA}", f"registry.example/app@{SHA}"),
        (f"registry.example/app:1@{SHA}", f"registry.example/app:1@{SHA}"),
    ],
)
def test_a_reference_is_completed_as_docker_does(text, whole):
    assert str(Reference.parse(text)) == whole


def test_a_whole_reference_parses_to_itself():
    reference = Reference.parse(f"registry.example:5000/a/b:1@{SHA}")

    assert Reference.parse(str(reference)) == reference


def test_the_target_is_the_digest_then_the_tag_then_latest():
    assert Reference.parse(f"a.b/c:1@{SHA}").target == SHA
    assert Reference.parse("a.b/c:1").target == "1"
    assert Reference.parse("a.b/c").target == "latest"


@pytest.mark.parametrize("text", ["", ":1", "UPPER/case", "a.b/", f"a@{SHA}x", "a:b:c", "a b"])
def test_a_malformed_reference_is_refused(text):
    with pytest.raises(RegistryError):
        Reference.parse(text)


def test_a_name_in_upper_case_is_told_so():
    with pytest.raises(NameInvalid, match="must be lower case"):
        Reference.parse("registry.example/Team/app")
