"""Manifests: what is understood, what is refused and why, and that bytes stay bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.oci import mediatypes
from longshore.oci.digest import Digest
from longshore.oci.errors import ManifestInvalid
from longshore.oci.manifest import Manifest

CONFIG = {"mediaType": mediatypes.OCI_CONFIG, "digest": "sha256:" + "a" * 64, "size": 2}
LAYER = {"mediaType": mediatypes.OCI_LAYER_GZIP, "digest": "sha256:" + "b" * 64, "size": 3}
CHILD = {
    "mediaType": mediatypes.OCI_MANIFEST,
    "digest": "sha256:" + "c" * 64,
    "size": 4,
    "platform": {"os": "linux", "architecture": "arm", "variant": "v7"},
}


def image(**changes):
    document = {
        "schemaVersion": 2,
        "mediaType": mediatypes.OCI_MANIFEST,
        "config": CONFIG,
        "layers": [LAYER],
    }
    return json.dumps({**document, **changes}).encode()


def index(**changes):
    document = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": [CHILD]}
    return json.dumps({**document, **changes}).encode()


def test_an_image_points_to_its_config_and_its_layers():
    manifest = Manifest.parse(image(annotations={"a": "b"}), mediatypes.OCI_MANIFEST)

    assert [blob.digest for blob in manifest.blobs] == [CONFIG["digest"], LAYER["digest"]]
    assert manifest.annotations == {"a": "b"}
    assert manifest.artifact_type == mediatypes.OCI_CONFIG
    assert not manifest.is_index


def test_an_index_points_to_its_children_and_their_platforms():
    manifest = Manifest.parse(index(), mediatypes.OCI_INDEX)

    assert [str(child.platform) for child in manifest.children] == ["linux/arm/v7"]
    assert manifest.is_index
    assert manifest.artifact_type is None


def test_the_bytes_are_kept_as_they_came():
    raw = b"\n " + image() + b"\n"

    assert Manifest.parse(raw, mediatypes.OCI_MANIFEST).raw == raw


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"schemaVersion": 2, "manifests": []}, mediatypes.OCI_INDEX),
        ({"schemaVersion": 2, "config": CONFIG, "layers": []}, mediatypes.OCI_MANIFEST),
        ({"mediaType": "application/vnd.example+json", "x": 1}, "application/vnd.example+json"),
    ],
)
def test_without_a_content_type_the_document_tells_its_type(document, expected):
    assert Manifest.parse(json.dumps(document).encode()).media_type == expected


def test_an_unknown_type_is_accepted_and_its_references_are_understood():
    raw = json.dumps({"config": CONFIG, "blobs": [LAYER], "extra": [1, 2]}).encode()

    manifest = Manifest.parse(raw, "application/vnd.example.thing+json; charset=utf-8")

    assert manifest.media_type == "application/vnd.example.thing+json"
    assert len(manifest.blobs) == 2


def test_the_artifact_type_of_the_manifest_comes_before_that_of_its_config():
    manifest = Manifest.parse(image(artifactType="application/vnd.example.sbom"), "")

    assert manifest.artifact_type == "application/vnd.example.sbom"


def test_a_subject_is_a_descriptor():
    manifest = Manifest.parse(image(subject=CHILD), "")

    assert manifest.subject is not None
    assert manifest.subject.digest == CHILD["digest"]


@pytest.mark.parametrize(
    ("raw", "content_type", "reason"),
    [
        (b"", "", "not valid JSON"),
        (b"{", "", "not valid JSON"),
        (b"[]", "", "a JSON list where an object is expected"),
        (b'{"a": NaN}', "", "NaN is not JSON"),
        (b"[" * 100_000, "", "nested too deeply"),
        (b'{"layers": [], "layers": []}', "", "occurs twice"),
        (image(), mediatypes.OCI_INDEX, "they must agree"),
        (image(layers=None), "", "'layers' is missing or not a list"),
        (image(config="x"), "", "'config' is missing or not an object"),
        (image(schemaVersion=3), "", "schemaVersion is 3"),
        (image(layers=[{**LAYER, "digest": "sha256:x"}]), "", r"layers\[0\].digest"),
        (image(layers=[{**LAYER, "size": -1}]), "", r"layers\[0\].size is -1"),
        (image(layers=[{**LAYER, "size": True}]), "", r"layers\[0\].size is True"),
        (image(layers=["x"]), "", r"layers\[0\] is not a descriptor"),
        (image(annotations={"a": 1}), "", "annotations is not an object whose values are strings"),
        (image(subject={"x": 1}), "", "'subject' is not a descriptor"),
        (index(layers=[]), "", "an index .* must not have 'config' or 'layers'"),
        (image(manifests=[]), "", "must not have 'manifests'"),
        (b'{"schemaVersion": 1}', "", "schema 1 is not accepted"),
        (image(), mediatypes.DOCKER_SCHEMA1_SIGNED, "schema 1 is not accepted"),
        (b'{"mediaType": 7}', "", "mediaType is not a string"),
    ],
)
def test_a_document_that_is_no_manifest_is_refused_with_the_reason(raw, content_type, reason):
    with pytest.raises(ManifestInvalid, match=reason):
        Manifest.parse(raw, content_type)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["config", "layers", "manifests", "subject", "digest", "size", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from(["", mediatypes.OCI_MANIFEST, mediatypes.OCI_INDEX, "x/y"]))
def test_any_json_is_either_understood_or_refused_by_name(value, content_type):
    raw = json.dumps(value).encode()
    try:
        manifest = Manifest.parse(raw, content_type)
    except ManifestInvalid as error:
        assert error.message
    else:
        assert manifest.raw == raw
        assert manifest.digest() == Digest.of(raw)


@given(st.binary(max_size=60))
def test_any_bytes_are_either_understood_or_refused_by_name(raw):
    try:
        Manifest.parse(raw, "")
    except ManifestInvalid as error:
        assert error.message
