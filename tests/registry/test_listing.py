"""Lists: tags, repositories, paging, and the small endpoints around them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.http.paging import Page
from longshore.oci.errors import PaginationNumberInvalid
from longshore.testing.builders import image

pytestmark = pytest.mark.anyio

IMAGE = image()


async def tag(registry, *names, repository="team/app"):
    await registry.push_image(repository, IMAGE.digest, IMAGE)
    for name in names:
        await registry.push_manifest(repository, name, IMAGE.manifest)


async def test_the_base_endpoint_answers_with_an_empty_document(registry):
    for path in ("/v2/", "/v2"):
        response = await registry.client.get(path)
        assert (response.status_code, response.json()) == (200, {})


async def test_tags_come_in_ascii_order(registry):
    await tag(registry, "b", "B", "a", "_", "1", "10", "2")

    response = await registry.client.get("/v2/team/app/tags/list")

    assert response.json() == {
        "name": "team/app",
        "tags": sorted(["b", "B", "a", "_", "1", "10", "2"]),
    }


async def test_tags_come_in_pages_that_link_to_the_next(registry):
    names = [f"t{n:02}" for n in range(7)]
    await tag(registry, *names)

    found, url, pages = [], "/v2/team/app/tags/list?n=3", 0
    while url:
        response = await registry.client.get(url)
        found += response.json()["tags"]
        url = response.links.get("next", {}).get("url")
        pages += 1

    assert found == names
    assert pages == 3


async def test_a_page_of_nothing_is_empty_and_leads_nowhere(registry):
    await tag(registry, "a", "b")

    response = await registry.client.get("/v2/team/app/tags/list?n=0")

    assert response.json()["tags"] == []
    assert "link" not in response.headers


@pytest.mark.parametrize("n", ["-1", "x", "1.5", "%C2%B2"])
async def test_a_page_size_that_is_no_number_is_refused(registry, n):
    await tag(registry, "a")

    response = await registry.client.get(f"/v2/team/app/tags/list?n={n}")

    assert response.status_code == 400
    assert response.json()["errors"][0]["code"] == "PAGINATION_NUMBER_INVALID"


async def test_tags_of_an_unknown_repository_are_an_error(registry):
    response = await registry.client.get("/v2/no/such/tags/list")

    assert response.status_code == 404
    assert response.json()["errors"][0]["code"] == "NAME_UNKNOWN"


async def test_the_catalog_lists_repositories_that_hold_an_image(registry):
    for name in ("b", "a/b", "a-b", "a"):
        await tag(registry, "v1", repository=name)
    await registry.push_blob("only/blobs", b"x")

    response = await registry.client.get("/v2/_catalog")

    assert response.json() == {"repositories": sorted(["b", "a/b", "a-b", "a"])}


async def test_an_old_script_that_asks_for_everything_gets_the_most_there_is(registry):
    await tag(registry, "v1")

    response = await registry.client.get("/v2/_catalog?n=100000")

    assert response.status_code == 200
    assert response.json()["repositories"] == ["team/app"]


async def test_the_catalog_comes_in_pages(registry):
    names = [f"team/r{n}" for n in range(5)]
    for name in names:
        await tag(registry, "v1", repository=name)

    found, url = [], "/v2/_catalog?n=2"
    while url:
        response = await registry.client.get(url)
        found += response.json()["repositories"]
        url = response.links.get("next", {}).get("url")

    assert found == names


async def test_a_repository_without_manifests_leaves_the_catalog(registry):
    await tag(registry, "v1")
    await registry.client.delete(f"/v2/team/app/manifests/{IMAGE.digest}")

    assert (await registry.client.get("/v2/_catalog")).json() == {"repositories": []}


async def test_extensions_can_be_discovered(registry):
    response = await registry.client.get("/v2/_oci/ext/discover")

    assert [found["name"] for found in response.json()["extensions"]] == ["_catalog"]


@given(
    st.sets(st.text("abc", min_size=1, max_size=3), max_size=30),
    st.integers(min_value=1, max_value=7),
)
def test_the_pages_together_are_the_whole_list(names, size):
    entries = sorted(names)
    seen: list[str] = []
    last = ""
    while True:
        page = Page.parse({"n": str(size), "last": last}, default=None, largest=5)
        rows = [entry for entry in entries if entry > page.last][: (page.size or 0) + 1]
        cut, more = page.cut(rows)
        seen += cut
        if not more:
            break
        last = cut[-1]

    assert seen == entries


@given(st.text(max_size=8))
def test_any_page_size_is_a_number_or_refused(text):
    try:
        page = Page.parse({"n": text}, default=10, largest=100)
    except PaginationNumberInvalid as error:
        assert error.status == 400
    else:
        assert page.size is not None
        assert 0 <= page.size <= 100


async def test_a_list_of_tags_is_never_older_than_the_last_push_to_any_node(cluster):
    async def listed(*nodes):
        replies = [await node.client.get("/v2/team/app/tags/list") for node in nodes]
        return [reply.json()["tags"] for reply in replies]

    async with cluster.node() as first, cluster.node() as second:
        await tag(first, "a")
        assert await listed(first, second, first) == [["a"]] * 3

        await second.push_manifest("team/app", "b", IMAGE.manifest)
        assert await listed(first, second, first) == [["a", "b"]] * 3

        await first.client.delete("/v2/team/app/manifests/a")
        assert await listed(first, second, first) == [["b"]] * 3
