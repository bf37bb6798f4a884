"""Repositories, artifacts, tags, labels and what is attached to artifacts, through the public door."""

import gzip
import io
import json
import tarfile
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from longshore.catalog.store import shown
from longshore.identity.model import Role
from longshore.oci.descriptor import Platform
from longshore.testing.builders import Content, Image, artifact, content, image, index
from tests.services.management import Management, management_of

pytestmark = pytest.mark.anyio

AMD = image([b"amd"], platform=Platform("linux", "amd64"))
ARM = image([b"arm"], platform=Platform("linux", "arm64"))
BOTH = index(
    [
        Content(replace(one.manifest.descriptor, platform=platform), one.manifest.data)
        for one, platform in (
            (AMD, Platform("linux", "amd64")),
            (ARM, Platform("linux", "arm64")),
        )
    ]
)


async def put(management: Management, name: str, reference: str, manifest: Content) -> None:
    reply = await management.ask(
        "admin",
        "PUT",
        f"/v2/{name}/manifests/{reference}",
        content=manifest.data,
        headers={"Content-Type": manifest.descriptor.media_type},
    )
    assert reply.status_code == 201, reply.text


async def push(management: Management, name: str, tag: str, what: Image) -> None:
    reply = await management.push("admin", name, tag, what)
    assert reply.status_code == 201, reply.text


async def get(management: Management, path: str, by: str = "admin", **parts: Any) -> Any:
    reply = await management.ask(by, "GET", path, **parts)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def status(
    management: Management, method: str, path: str, by: str = "admin", **parts: Any
) -> int:
    return (await management.ask(by, method, path, **parts)).status_code


def below(repository: str, project: str = "library") -> str:
    return f"/projects/{project}/repositories/{quote(quote(repository, safe=''), safe='')}"


async def push_index(management: Management, name: str, tag: str) -> None:
    for one in (AMD, ARM):
        await push(management, name, str(one.digest), one)
    await put(management, name, tag, BOTH)


@pytest.fixture(params=["few", "many"])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether repositories, and what lists hide, are so many that queries no longer name them one by one."""
    if request.param == "many":
        monkeypatch.setattr(shown, "_NAMED", 0)
        monkeypatch.setattr(shown, "_FEW", 0)


async def test_an_image_is_shown_with_what_its_config_says(management):
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "author": "somebody",
        "config": {"Env": ["A=b"]},
        "history": [{"created_by": "COPY . ."}],
    }
    what = image([b"layer one", b"two"], config=json.dumps(config).encode())
    await push(management, "library/tools/app", "v1", what)

    (repository,) = await get(management, "/projects/library/repositories")
    assert (repository["name"], repository["artifact_count"], repository["pull_count"]) == (
        "library/tools/app",
        1,
        0,
    )
    (found,) = await get(management, below("tools/app") + "/artifacts")
    assert found["digest"] == what.digest
    assert found["type"] == "IMAGE"
    assert found["size"] == what.manifest.descriptor.size + sum(len(b.data) for b in what.blobs)
    assert found["extra_attrs"] == {key: config[key] for key in config if key != "history"}
    assert [tag["name"] for tag in found["tags"]] == ["v1"]
    assert found["pull_time"] == "0001-01-01T00:00:00.000Z"
    link = found["addition_links"]["build_history"]["href"]
    assert await get(management, link) == config["history"]
    # Names with slashes also come encoded once, or as they are.
    for name in ("tools%2Fapp", "tools/app"):
        path = f"/projects/library/repositories/{name}/artifacts/{what.digest.replace(':', '%3A')}"
        assert (await get(management, path))["id"] == found["id"]


@pytest.mark.usefixtures("large")
async def test_parts_of_an_index_are_hidden_and_named_with_their_platforms(management):
    await push_index(management, "library/app", "v1")

    (found,) = await get(management, below("app") + "/artifacts")
    assert found["digest"] == BOTH.digest
    every = await get(management, below("app") + "/artifacts?q=base%3D*")
    sizes = {one["digest"]: one["size"] for one in every}
    assert set(sizes) == {BOTH.digest, AMD.digest, ARM.digest}
    assert found["size"] == sizes[AMD.digest] + sizes[ARM.digest]
    ids = {one["digest"]: one["id"] for one in every}
    assert [
        (one["platform"]["architecture"], one["child_id"], one["parent_id"])
        for one in found["references"]
    ] == [("amd64", ids[AMD.digest], found["id"]), ("arm64", ids[ARM.digest], found["id"])]

    part = below("app") + f"/artifacts/{AMD.digest}"
    refused = await management.ask("admin", "DELETE", part)
    assert refused.status_code == 412
    assert refused.json()["errors"][0]["code"] == "VIOLATE_FOREIGN_KEY_CONSTRAINT"
    # A child with a tag of its own stays, the other goes with the index.
    await put(management, "library/app", "amd", AMD.manifest)
    assert await status(management, "DELETE", below("app") + "/artifacts/v1") == 200
    left = await get(management, below("app") + "/artifacts?q=base%3D*")
    assert [one["digest"] for one in left] == [AMD.digest]


@pytest.mark.usefixtures("large")
async def test_what_is_attached_is_hidden_counted_listed_and_goes_along(management):
    await push(management, "library/app", "v1", AMD)
    sbom = artifact(AMD.manifest)
    await push(management, "library/app", str(sbom.digest), sbom)
    layer = content(b"signature", "application/vnd.dev.cosign.simplesigning.v1+json")
    signature = image([b"signature"])
    document = json.loads(signature.manifest.data)
    document["layers"] = [layer.descriptor.to_json()]
    signed = Image(
        content(json.dumps(document).encode(), signature.manifest.descriptor.media_type),
        [*signature.blobs, layer],
    )
    await push(management, "library/app", f"sha256-{AMD.digest.partition(':')[2]}.sig", signed)

    (found,) = await get(management, below("app") + "/artifacts")
    kinds = {one["digest"]: one["type"] for one in found["accessories"]}
    assert kinds == {sbom.digest: "subject.accessory", signed.digest: "signature.cosign"}
    listed = await get(management, below("app") + "/artifacts/v1/accessories?q=type%3D~cosign")
    assert [one["digest"] for one in listed] == [signed.digest]
    (repository,) = await get(management, "/repositories")
    assert repository["artifact_count"] == 1

    reply = await management.ask(
        "admin", "POST", below("copy") + "/artifacts", params={"from": "library/app:v1"}
    )
    assert reply.status_code == 201, reply.text
    (copied,) = await get(management, below("copy") + "/artifacts")
    assert [tag["name"] for tag in copied["tags"]] == ["v1"]
    assert {one["digest"] for one in copied["accessories"]} == set(kinds)

    assert await status(management, "DELETE", below("app") + "/artifacts/v1") == 200
    assert await get(management, "/repositories?q=name%3Dlibrary/app") == []
    assert len((await get(management, below("copy") + "/artifacts"))[0]["accessories"]) == 2


@pytest.mark.usefixtures("large")
async def test_lists_are_filtered_by_tags_labels_and_kinds(management):
    await push(management, "library/app", "v1", AMD)
    await put(management, "library/app", "latest", AMD.manifest)
    await push(management, "library/app", str(ARM.digest), ARM)
    chart = _chart({"values.yaml": b"a: 1\n"})
    await push(management, "library/app", "chart-1", chart)
    reply = await management.ask("admin", "POST", "/labels", json={"name": "good", "scope": "g"})
    label = int(reply.headers["location"].rpartition("/")[2])
    marked = below("app") + "/artifacts/v1/labels"
    assert await status(management, "POST", marked, json={"id": label}) == 200
    assert await status(management, "POST", marked, json={"id": label}) == 409

    async def digests(q: str) -> set[str]:
        found = await get(management, below("app") + "/artifacts", params={"q": q})
        return {one["digest"] for one in found}

    assert await digests("tags=latest") == {AMD.digest}
    assert await digests("tags=~CHART") == {chart.digest}
    assert await digests("tags=*") == {AMD.digest, chart.digest}
    assert await digests("tags=nil") == {ARM.digest}
    assert await digests(f"labels=({label})") == {AMD.digest}
    assert await digests("type=CHART") == {chart.digest}
    assert await status(management, "GET", below("app") + "/artifacts?q=labels%3D(x)") == 400
    page = await management.ask(
        "admin", "GET", below("app") + "/artifacts?page_size=1&with_label=true&sort=push_time"
    )
    assert page.headers["x-total-count"] == "3"
    assert [one["name"] for one in page.json()[0]["labels"]] == ["good"]

    await push(management, "library/other", "v1", AMD)
    query = {
        "latest_in_repository": "true",
        "q": "media_type=application/vnd.oci.image.config.v1+json",
    }
    newest = await get(management, "/projects/library/artifacts", params=query)
    assert {(one["repository_name"], one["digest"]) for one in newest} == {
        ("library/app", ARM.digest),
        ("library/other", AMD.digest),
    }
    del query["q"]
    assert await status(management, "GET", "/projects/library/artifacts", params=query) == 400


async def test_tags_are_made_listed_and_taken_away(management):
    await push(management, "library/app", "v1", AMD)
    tags = below("app") + f"/artifacts/{AMD.digest}/tags"
    assert await status(management, "POST", tags, json={"name": "v2"}) == 201
    assert await status(management, "POST", tags, json={"name": "v1"}) == 409
    assert await status(management, "POST", tags, json={"name": "no tag"}) == 400
    found = await get(management, tags + "?sort=name")
    assert [one["name"] for one in found] == ["v1", "v2"]
    assert found[0]["id"] != found[1]["id"]
    assert await status(management, "GET", "/v2/library/app/manifests/v2") == 200
    await push(management, "library/app", "arm", ARM)
    assert await status(management, "DELETE", tags + "/arm") == 404
    assert await status(management, "DELETE", tags + "/v1") == 200
    assert await status(management, "GET", "/v2/library/app/manifests/v1") == 404


async def test_charts_show_their_files_and_hostile_ones_are_refused(management):
    chart = _chart({"values.yaml": b"a: 1\n", "README.md": b"# Chart"})
    await push(management, "library/chart", "1.0.0", chart)
    path = below("chart") + "/artifacts/1.0.0"
    found = await get(management, path)
    assert (found["type"], found["extra_attrs"]["name"]) == ("CHART", "demo")
    assert set(found["addition_links"]) == {"values.yaml", "readme.md", "dependencies"}
    values = await management.ask("admin", "GET", path + "/additions/values.yaml")
    assert (values.text, values.headers["content-type"]) == ("a: 1\n", "text/plain; charset=utf-8")
    readme = await management.ask("admin", "GET", path + "/additions/readme.md")
    assert readme.text == "# Chart"
    assert await get(management, path + "/additions/dependencies") == [{"name": "redis"}]
    assert await status(management, "GET", path + "/additions/build_history") == 400

    for tag, layer in {
        "bomb": gzip.compress(b"\0" * (64 << 20)),
        "broken": b"no archive",
        "outside": _packed({"../values.yaml": b"x", "a/../values.yaml": b"y"}),
    }.items():
        await push(management, "library/chart", tag, _chart({}, layer))
        path = below("chart") + f"/artifacts/{tag}/additions/values.yaml"
        assert await status(management, "GET", path) in (400, 404), tag


async def test_pulls_are_counted_and_dated(database_url, tmp_path):
    async with management_of(database_url, tmp_path) as management:
        await push(management, "library/app", "v1", AMD)
        for _ in range(3):
            assert await status(management, "GET", "/v2/library/app/manifests/v1") == 200
        by_digest = f"/v2/library/app/manifests/{AMD.digest}"
        assert await status(management, "GET", by_digest) == 200
        assert await status(management, "HEAD", "/v2/library/app/manifests/v1") == 200

    # They are written now and then, and at the end of the process.
    async with management_of(database_url, tmp_path) as management:
        (repository,) = await get(management, "/repositories")
        assert repository["pull_count"] == 4
        (found,) = await get(management, below("app") + "/artifacts")
        assert found["pull_time"] >= found["push_time"]
        assert found["tags"][0]["pull_time"] >= found["push_time"]


async def test_repositories_are_described_and_removed(management):
    await push(management, "library/app", "v1", AMD)
    await push(management, "library/app", "v2", ARM)
    assert await status(management, "PUT", below("app"), json={"description": "a <b> thing"}) == 200
    found = await get(management, below("app"))
    assert found["description"] == "a &lt;b&gt; thing"
    assert await status(management, "DELETE", below("app")) == 200
    assert await status(management, "GET", below("app")) == 404
    assert await status(management, "GET", "/v2/library/app/manifests/v1") == 404
    assert await status(management, "DELETE", below("app")) == 404


async def test_only_what_somebody_may_see_is_found(management):
    await management.add_user("dora")
    await management.add_user("gus")
    await management.add_project("secret", {"dora": Role.MAINTAINER})
    await management.add_project("other", {"gus": Role.MAINTAINER})
    await push(management, "secret/app", "v1", AMD)
    await push(management, "other/app", "v1", ARM)

    async def names(by: str) -> set[str]:
        found = {one["name"] for one in await get(management, "/repositories", by)}
        searched = await get(management, "/search?q=app", by)
        assert {one["repository_name"] for one in searched["repository"]} == found
        return found

    assert await names("") == set()
    assert await names("dora") == {"secret/app"}
    assert await names("admin") == {"secret/app", "other/app"}
    counts = await get(management, "/statistics", "dora")
    assert (counts["private_repo_count"], counts["total_repo_count"]) == (1, 1)

    # Neither the artifacts nor the labels of another project.
    copy = below("mine", "other") + "/artifacts"
    assert await status(management, "POST", copy, "gus", params={"from": "secret/app:v1"}) == 403
    assert await status(management, "POST", copy, "gus", params={"from": "nothing/app:v1"}) == 403
    project = (await get(management, "/projects/secret"))["project_id"]
    made = await management.ask(
        "dora", "POST", "/labels", json={"name": "x", "scope": "p", "project_id": project}
    )
    assert made.status_code == 201
    label = int(made.headers["location"].rpartition("/")[2])
    marked = below("app", "other") + "/artifacts/v1/labels"
    assert await status(management, "POST", marked, "gus", json={"id": label}) == 404
    for method in ("GET", "PUT", "DELETE"):
        assert await status(management, method, f"/labels/{label}", "gus", json={}) == 403
    listed = f"/labels?scope=p&project_id={project}"
    assert await status(management, "GET", listed, "gus") == 403
    assert [one["id"] for one in await get(management, listed, "dora")] == [label]
    assert await status(management, "DELETE", f"/labels/{label}", "dora") == 200


def _chart(files: dict[str, bytes], layer: bytes | None = None) -> Image:
    config = content(
        json.dumps({"name": "demo", "version": "1", "dependencies": [{"name": "redis"}]}).encode(),
        "application/vnd.cncf.helm.config.v1+json",
    )
    packed = layer or _packed({f"demo/{name}": data for name, data in files.items()})
    archive = content(packed, "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
    document = json.loads(image().manifest.data)
    document["config"] = config.descriptor.to_json()
    document["layers"] = [archive.descriptor.to_json()]
    manifest = content(json.dumps(document).encode(), "application/vnd.oci.image.manifest.v1+json")
    return Image(manifest, [config, archive])


def _packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()
