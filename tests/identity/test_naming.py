"""``alpine`` and ``library/alpine``: one repository, whatever was stored before, on both databases."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.db.database import Connection
from longshore.identity import store
from longshore.identity.model import Role
from longshore.identity.naming import RepositoryNames, canonical
from longshore.oci.names import RepositoryName
from longshore.registry import store as registry_store
from longshore.testing.builders import image
from tests.identity import tokens
from tests.identity.parts import IMAGE, Node, node, populated
from tests.services.in_process import Cluster

pytestmark = pytest.mark.anyio

OLD = image([b"from before there were projects"])


async def push_as_before(one: Node, name: str) -> None:
    """An image in a repository whose name is stored as it is."""

    def make(connection: Connection) -> None:
        registry_store.ensure_repository(connection, RepositoryName(name), 1.0)

    await one.people.write(make)
    assert await one.push("root", name, OLD) == 201


async def digest(one: Node, name: str, user: str = "root") -> str:
    response = await one.ask(user, "GET", f"/v2/{name}/manifests/latest")
    assert response.status_code == 200, response.text
    return response.headers["docker-content-digest"]


async def catalog(one: Node) -> list[str]:
    names: list[str] = (await one.ask("root", "GET", "/v2/_catalog")).json()["repositories"]
    return names


@pytest.mark.parametrize("name", ["alpine", "library/alpine"])
async def test_what_is_pushed_under_one_name_is_there_under_both(
    cluster: Cluster, name: str
) -> None:
    async with populated(cluster) as one, node(cluster) as two:
        assert await one.push("root", name) == 201
        for process in (one, two):
            for either in ("alpine", "library/alpine"):
                assert await digest(process, either) == IMAGE.manifest.digest
                tags = await process.ask("root", "GET", f"/v2/{either}/tags/list")
                assert tags.json() == {"name": "library/alpine", "tags": ["latest"]}
                blob = f"/v2/{either}/blobs/{IMAGE.blobs[0].digest}"
                assert (await process.ask("", "GET", blob)).status_code == 200
        assert await catalog(one) == ["library/alpine", "library/tool", "private/app", "public/app"]


async def test_what_was_stored_without_the_prefix_stays_and_answers_to_both(
    cluster: Cluster,
) -> None:
    async with populated(cluster) as one:
        await push_as_before(one, "old")
        for either in ("old", "library/old"):
            assert await digest(one, either) == OLD.manifest.digest
        assert await one.push("root", "library/old") == 201  # not a second repository
        assert await digest(one, "old") == IMAGE.manifest.digest
        assert [name for name in await catalog(one) if "old" in name] == ["old"]


async def test_where_both_were_stored_each_name_means_its_own(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        await push_as_before(one, "twice")
        await push_as_before(one, "library/twice")
        assert await one.push("root", "twice") == 201
        assert await digest(one, "twice") == IMAGE.manifest.digest
        assert await digest(one, "library/twice") == OLD.manifest.digest


async def test_a_token_for_one_name_opens_both(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        await one.change(store.set_member, project="library", user="stranger", role=Role.DEVELOPER)
        blob, names = IMAGE.blobs[0], ("alpine", "library/alpine")
        for asked, used in product(names, names):
            begin, params = f"/v2/{used}/blobs/uploads/", {"digest": str(blob.digest)}
            text = await tokens.token(one, "stranger", f"repository:{asked}:pull,push")
            done = await tokens.use(one, text, "POST", begin, params=params, content=blob.data)
            assert done.status_code == 201
            begun = await tokens.use(one, text, "POST", begin)
            where = begun.headers["location"]
            assert (await tokens.use(one, text, "PATCH", where, content=b"x")).status_code == 202
            other = await tokens.use(one, text, "POST", "/v2/tool/blobs/uploads/")
            assert other.status_code == 401
            narrow = await tokens.token(one, "stranger", f"repository:{asked}:pull")
            refused = await tokens.use(one, narrow, "POST", begin)
            wanted = 'scope="repository:library/alpine:pull,push"'
            assert wanted in refused.headers["www-authenticate"]


async def test_blobs_are_mounted_from_either_name(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        blob = str(IMAGE.blobs[0].digest)
        for source in ("tool", "library/tool"):
            begin = f"/v2/public/{source}/blobs/uploads/"
            done = await one.ask("root", "POST", begin, params={"mount": blob, "from": source})
            assert done.status_code == 201


async def test_a_private_library_is_as_closed_under_either_name(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        await one.change(store.set_public, name="library", public=False)
        for either in ("tool", "library/tool"):
            path = f"/v2/{either}/manifests/latest"
            assert (await one.ask("", "GET", path)).status_code == 401
            assert (await one.ask("stranger", "GET", path)).status_code == 404
            begin = "/v2/public/new/blobs/uploads/"
            text = await tokens.token(
                one, "developer", "repository:public/new:pull,push", f"repository:{either}:pull"
            )
            params = {"mount": str(IMAGE.blobs[0].digest), "from": either}
            mounted = await tokens.use(one, text, "POST", begin, params=params)
            assert mounted.status_code == 202


async def test_deeper_and_broken_names_mean_what_they_say(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        names = RepositoryNames(one.people)
        for name in (
            *("library/a/b", "team/alpine", "library", "library/library/x", "a" * 250),
            *("../x", "library/../x", "A", "", "/", "library/", "x\x00", "library/x\x00", "é"),
        ):
            expected = "library/library" if name == "library" else name
            assert await names.stored(name) == expected
            if name.isprintable() and ".." not in name and name:
                path = f"/v2/{name}/manifests/latest"
                assert (await one.ask("root", "GET", path)).status_code in (400, 404)


async def test_while_another_registry_is_taken_over_a_name_may_be_one_that_no_row_knows(
    cluster: Cluster,
) -> None:
    async with populated(cluster) as one:
        names = RepositoryNames(one.people, taking_over=lambda: True)
        assert await names.stored("unknown") == "unknown"
        assert await names.stored("library/unknown") == "library/unknown"
        assert await names.stored("tool") == "library/tool"


@given(st.from_regex(r"[a-z0-9]+(/[a-z0-9]+){0,3}", fullmatch=True))
def test_the_canonical_name_has_a_slash_and_stays(name: str) -> None:
    found = canonical(name)
    assert "/" in found
    assert canonical(found) == found
