"""What people type is a registry's reference, a layout or an archive."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.client.addresses import looks_like_registry, registry_name
from longshore.client.errors import LocationInvalid
from longshore.client.locations import Kind, parse_location
from longshore.oci.digest import Digest
from longshore.oci.reference import Reference

DIGEST = Digest.of(b"anything")


@pytest.mark.parametrize(
    ("text", "kind", "path", "name"),
    [
        ("oci:out", Kind.LAYOUT, "out", None),
        ("oci:out:v1", Kind.LAYOUT, "out", "v1"),
        ("oci:/tmp/nowhere/out:v1", Kind.LAYOUT, "/tmp/nowhere/out", "v1"),
        (f"oci:out@{DIGEST}", Kind.LAYOUT, "out", DIGEST),
        ("oci-archive:a.tar:v1", Kind.LAYOUT_ARCHIVE, "a.tar", "v1"),
        ("docker-archive:a.tar", Kind.DOCKER_ARCHIVE, "a.tar", None),
        (
            "docker-archive:a.tar:localhost:5000/team/app:1",
            Kind.DOCKER_ARCHIVE,
            "a.tar",
            "localhost:5000/team/app:1",
        ),
        ("./out", Kind.LAYOUT, "out", None),
        ("./out.tar", Kind.DOCKER_ARCHIVE, "out.tar", None),
        ("/nowhere/out:v1", Kind.LAYOUT, "/nowhere/out", "v1"),
    ],
)
def test_a_local_image(text: str, kind: Kind, path: str, name: str | None) -> None:
    found = parse_location(text)

    assert (found.kind, found.path, found.name) == (kind, Path(path), name)


def test_a_path_that_exists_may_hold_colons(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()

    assert parse_location(f"oci:{tmp_path}/a:b").path == tmp_path / "a:b"
    assert parse_location(f"oci:{tmp_path}/a:b:v1").name == "v1"


def test_a_bare_word_is_a_path_only_where_that_is_asked_for() -> None:
    assert parse_location("alpine").kind is Kind.REGISTRY
    assert parse_location("alpine", local=True).kind is Kind.LAYOUT


def test_skopeos_way_to_write_a_reference_is_understood() -> None:
    assert str(parse_location("docker://registry.example/a/b:1")) == "registry.example/a/b:1"


@pytest.mark.parametrize(
    "text", ["", "oci:", "UPPER/case", "a/b:bad tag", "a@sha256:00", "oci::v1"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(LocationInvalid):
        parse_location(text)


COMPONENT = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
HOSTS = st.sampled_from(
    ["localhost", "registry.example", "10.0.0.1:5000", "[::1]:5000", "r.io:443"]
)
TAGS = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=20).filter(
    lambda tag: tag[0] not in ".-"
)


@given(HOSTS, st.lists(COMPONENT, min_size=1, max_size=4), st.none() | TAGS, st.booleans())
def test_a_reference_means_what_it_says(
    host: str, path: list[str], tag: str | None, digest: bool
) -> None:
    text = (
        f"{host}/{'/'.join(path)}" + (f":{tag}" if tag else "") + (f"@{DIGEST}" if digest else "")
    )

    found = parse_location(text).reference

    assert found
    assert (found.registry, found.repository) == (host, "/".join(path))
    assert (found.tag, found.digest) == (tag, DIGEST if digest else None)
    assert str(found) == text
    assert Reference.parse(str(found)) == found


@given(st.text(max_size=60).filter(lambda text: "\0" not in text))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        found = parse_location(text)
    except LocationInvalid:
        return
    assert found.is_local == (found.reference is None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Registry.Example:5000", "registry.example:5000"),
        ("https://registry.example/v2/", "registry.example"),
        ("index.docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("[::1]:5000", "[::1]:5000"),
    ],
)
def test_a_registry_by_the_names_people_use(text: str, expected: str) -> None:
    assert registry_name(text) == expected


@pytest.mark.parametrize(
    ("text", "registry"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("registry.example", True),
        ("myhost:5000", True),
        ("alpine", False),
        ("alpine:latest", False),
        ("registry.example/app", False),
    ],
)
def test_a_word_is_a_registry_by_dockers_rule(text: str, registry: bool) -> None:
    assert looks_like_registry(text) == registry
