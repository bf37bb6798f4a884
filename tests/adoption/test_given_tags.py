"""A Harbor's bucket: manifests are in storage, tags come from its database or its API."""

import json
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from longshore.adoption import store
from longshore.adoption.given import GivenTag, TagsInvalid, from_file, take
from longshore.client.connection import Connection
from longshore.client.credentials import Credential
from longshore.client.errors import Unauthenticated
from longshore.client.harbor import HarborTags
from longshore.oci.digest import Digest
from longshore.testing.builders import artifact, image
from tests.adoption.adopting import begun, finished, referrers, resolve, tags
from tests.adoption.harbor import Artifact, Harbor
from tests.adoption.legacy import Legacy
from tests.services.registries import server_program

pytestmark = pytest.mark.anyio

NAME = "library/app/web"
AT = "2026-01-31T12:00:00.000Z"


async def harbor_storage(legacy: Legacy) -> tuple[Digest, Digest, Digest]:
    """Two images and a signature; the tags there are of an old version, and wrong."""
    one, two = image([b"one"]), image([b"two"])
    await legacy.push(NAME, one, "stale", "v2")
    await legacy.push(NAME, two)
    signature = artifact(one.manifest)
    await legacy.push(NAME, signature)
    return one.digest, two.digest, signature.digest


async def give(registry, path: Path) -> int:
    return await take(registry.database, from_file(path))


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.parametrize("form", ["csv", "csv with a header", "json"])
async def test_tags_come_from_a_file_and_not_from_storage(legacy, registry, tmp_path, form):
    one, two, signature = await harbor_storage(legacy)
    rows = [(NAME, "v1", one, "2026-01-31 12:00:00.123456"), (NAME, "v2", two, "")]
    path = tmp_path / "tags"
    if form == "json":
        keys = ("repository", "tag", "digest", "pushed")
        path.write_text(
            "".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in rows)
        )
    else:
        head = "repository,tag,digest,pushed\n" if "header" in form else ""
        path.write_text(head + "".join(",".join(row) + "\n" for row in rows))

    assert await give(registry, path) == 2
    await begun(registry)
    assert await resolve(registry, NAME, "v2") == two
    assert await resolve(registry, NAME, "stale") is None
    await finished(registry)

    assert await tags(registry, NAME) == ["v1", "v2"]
    assert await resolve(registry, NAME, "v1") == one
    assert await referrers(registry, NAME, one) == [signature]
    history = await registry.database.read(
        lambda c: c.execute(text("SELECT name, at FROM tag_history ORDER BY name")).all()
    )
    assert [row.name for row in history] == ["v1", "v2"]
    assert history[0].at == pytest.approx(1769860800.123456)
    assert not await registry.database.read(store.are_tags_given)


async def test_tags_of_what_is_not_in_storage_are_reported(legacy, registry, tmp_path):
    await harbor_storage(legacy)
    nobody = Digest.of(b"nobody")
    path = tmp_path / "tags.csv"
    path.write_text(f"{NAME},lost,{nobody}\nlibrary/gone,v1,{nobody}\n")

    await give(registry, path)
    await begun(registry)
    await finished(registry)

    found = await registry.database.read(lambda c: store.list_troubles(c, "", 10))
    assert [(one.kind, one.path) for one in found] == [
        ("broken tag", f"{NAME}:lost"),
        ("broken tag", "library/gone"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{NAME},v1\n", "line 1: 2 fields; expected repository,tag,digest"),
        (f"{NAME},v1,sha256:abc\n", "line 1: 'sha256:abc' has 3 hexadecimal characters"),
        (f"{NAME},-,{Digest.of(b'')}\n", "line 1: '-' is not a tag"),
        (f"repository,tag,digest\nUpper,v1,{Digest.of(b'')}\n", "line 2: repository name 'Upper'"),
        (f"{NAME},v1,{Digest.of(b'')},soon\n", "line 1: 'soon' is no time"),
        ('{"repository": "a"}\n', "line 1: expected an object with repository, tag and digest"),
        ('{"repository": \n', "line 1: no JSON"),
        ("", "there is no tag at all"),
    ],
)
async def test_a_file_that_is_no_list_of_tags_is_refused(registry, tmp_path, content, said):
    path = tmp_path / "tags"
    path.write_text(content)

    with pytest.raises(TagsInvalid) as caught:
        await give(registry, path)

    assert said in str(caught.value)
    assert not await registry.database.read(store.are_tags_given)


async def test_every_tag_of_a_harbor_is_read_page_by_page():
    artifacts = [
        Artifact(Digest.of(str(n).encode()), {f"v{n}": AT, f"also{n}": AT}) for n in range(230)
    ]
    child = Artifact(Digest.of(b"child"), {"child": AT}, hidden=True)
    harbor = Harbor({NAME: [*artifacts, child, Artifact(Digest.of(b"untagged"), {})]})
    harbor.repositories |= {f"project{n}/app": [artifacts[n]] for n in range(120)}
    harbor.repositories["123/digits"] = [artifacts[0]]

    with harbor.serving() as url:
        client = HarborTags(url, Credential("admin", harbor.password), Connection())
        async with client.open():
            found = [tag async for tag in client.tags()]

    expected = {
        (name, tag, one.digest)
        for name, held in harbor.repositories.items()
        for one in held
        for tag in one.tags
    }
    assert {(tag.repository, tag.name, tag.digest) for tag in found} == expected
    assert len(found) == len(expected)
    assert GivenTag.parse(*(NAME, "v1", found[0].digest, found[0].pushed)).at == 1769860800


async def test_a_wrong_password_is_an_error():
    with Harbor().serving() as url:
        client = HarborTags(url, Credential("admin", "wrong"), Connection())
        async with client.open():
            with pytest.raises(Unauthenticated):
                [tag async for tag in client.tags()]


@pytest.mark.service
async def test_the_command_asks_a_harbor_for_tags(legacy, tmp_path):
    one, two, _ = await harbor_storage(legacy)
    harbor = Harbor({NAME: [Artifact(one, {"v1": AT}), Artifact(two, {"v2": AT})]})
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
    )

    def adopt(password: str) -> "subprocess.CompletedProcess[str]":
        command = [server_program(), "adopt", str(config), "--harbor-url", url, "--wait"]
        return subprocess.run(
            command, input=password, capture_output=True, text=True, timeout=60, check=False
        )

    with harbor.serving() as url:
        refused = adopt("wrong\n")
        done = adopt(f"{harbor.password}\n")

    assert (refused.returncode, done.returncode) == (1, 0), refused.stderr + done.stderr
    assert "unauthorized" in refused.stderr
    assert "2 tags were read" in done.stderr
    assert done.stdout == "1 repositories are taken over\n"
