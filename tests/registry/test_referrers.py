"""Referrers: what points at an image, by the API and by the fallback tag."""

import pytest

from longshore.oci import mediatypes
from longshore.oci.digest import Digest
from longshore.oci.names import Tag
from longshore.testing.builders import artifact, image, index

pytestmark = pytest.mark.anyio

IMAGE = image()


def referrers(digest, query=""):
    return f"/v2/team/app/referrers/{digest}{query}"


async def test_an_artifact_is_listed_under_its_subject(registry):
    sbom = artifact(IMAGE.manifest, annotations={"made.by": "test"})
    await registry.push_image("team/app", "v1", IMAGE)
    pushed = await registry.push_image("team/app", sbom.digest, sbom)

    response = await registry.client.get(referrers(IMAGE.digest))

    assert pushed.headers["oci-subject"] == IMAGE.digest
    assert response.headers["content-type"] == mediatypes.OCI_INDEX
    assert response.json()["manifests"] == [
        {
            "mediaType": mediatypes.OCI_MANIFEST,
            "digest": sbom.digest,
            "size": len(sbom.manifest.data),
            "artifactType": "application/vnd.example.sbom",
            "annotations": {"made.by": "test"},
        }
    ]


async def test_the_list_is_filtered_by_artifact_type(registry):
    kinds = [artifact(IMAGE.manifest, f"application/vnd.example.{kind}") for kind in "ab"]
    for picture in (IMAGE, *kinds):
        await registry.push_image("team/app", picture.digest, picture)

    response = await registry.client.get(
        referrers(IMAGE.digest, "?artifactType=application/vnd.example.b")
    )

    assert [found["digest"] for found in response.json()["manifests"]] == [kinds[1].digest]
    assert response.headers["oci-filters-applied"] == "artifactType"


async def test_what_nothing_refers_to_has_an_empty_list(registry):
    response = await registry.client.get(referrers("sha256:" + "0" * 64))

    assert response.status_code == 200
    assert response.json()["manifests"] == []


async def test_a_malformed_digest_is_refused(registry):
    assert (await registry.client.get(referrers("sha256:x"))).status_code == 400


async def test_a_subject_may_come_after_its_referrers(registry):
    sbom = artifact(IMAGE.manifest)
    await registry.push_image("team/app", sbom.digest, sbom)

    listed = (await registry.client.get(referrers(IMAGE.digest))).json()["manifests"]

    assert [found["digest"] for found in listed] == [sbom.digest]


async def test_a_deleted_artifact_is_no_longer_listed(registry):
    sbom = artifact(IMAGE.manifest)
    await registry.push_image("team/app", sbom.digest, sbom)
    await registry.client.delete(f"/v2/team/app/manifests/{sbom.digest}")

    assert (await registry.client.get(referrers(IMAGE.digest))).json()["manifests"] == []


async def test_a_fallback_index_is_taken_over(registry):
    signature = artifact(None, "application/vnd.example.signature")
    await registry.push_image("team/app", "v1", IMAGE)
    await registry.push_image("team/app", signature.digest, signature)
    tag = Tag.for_referrers(Digest(IMAGE.digest))
    await registry.push_manifest("team/app", tag, index([signature.manifest]))

    listed = (await registry.client.get(referrers(IMAGE.digest))).json()["manifests"]

    assert [found["digest"] for found in listed] == [signature.digest]


async def test_a_long_list_comes_in_pages(registry):
    sboms = [artifact(IMAGE.manifest, annotations={"n": str(n)}) for n in range(5)]
    for sbom in sboms:
        await registry.push_image("team/app", sbom.digest, sbom)

    found, url = [], referrers(IMAGE.digest, "?n=2")
    while url:
        response = await registry.client.get(url)
        found += [entry["digest"] for entry in response.json()["manifests"]]
        url = response.links.get("next", {}).get("url")

    assert found == sorted(sbom.digest for sbom in sboms)
