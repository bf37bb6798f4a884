"""What a project may hold, as clients meet it: the whole registry in process, on both databases."""

from functools import partial
from pathlib import Path

import pytest

from longshore.oci.digest import Digest
from longshore.quotas import checking, store
from longshore.quotas.model import Defaults, Resource
from longshore.testing.builders import image, random_bytes
from tests.services.management import Management, management_of

pytestmark = pytest.mark.anyio
MEGABYTE = 1 << 20


@pytest.fixture
async def management(database_url: str, tmp_path: Path):
    """One process where things may be deleted."""
    storage = {
        "filesystem": {"rootdirectory": str(tmp_path / "data")},
        "delete": {"enabled": True},
    }
    async with management_of(database_url, tmp_path, storage=storage) as found:
        yield found


async def limited(management: Management, project: str = "team", **hard: int) -> None:
    if project != "library":
        await management.add_project(project)
    limits = {Resource(name): value for name, value in hard.items()}
    await management.change(store.set_limits, now=1.0, project=project, hard=limits)


async def usage(management: Management, project: str = "team"):
    found = await management.database.read(
        partial(store.find_quota, defaults=Defaults(), project=project)
    )
    assert await checking.check(management.database) == []
    return found.usage


def picture(seed: int, size: int = MEGABYTE):
    return image([random_bytes(size, seed)])


def weight(*pictures) -> int:
    sizes = {}
    for found in pictures:
        for content in (found.manifest, *found.blobs):
            sizes[content.digest] = len(content.data)
    return sum(sizes.values())


async def test_a_blob_counts_once_in_a_project_and_in_every_project_that_has_it(management):
    one = picture(1)
    for project in ("team", "other"):
        await management.add_project(project)
    for name in ("team/a", "team/b", "other/c"):
        assert (await management.push("admin", name, content=one)).status_code == 201

    assert (await usage(management)).storage == weight(one)
    assert (await usage(management)).repositories == 2
    assert (await usage(management, "other")).storage == weight(one)

    await management.ask("admin", "DELETE", f"/v2/team/a/manifests/{one.digest}")
    found = await usage(management)
    assert (found.storage, found.repositories, found.tags) == (weight(one), 1, 1)
    await management.ask("admin", "DELETE", f"/v2/team/b/manifests/{one.digest}")
    found = await usage(management)
    assert (found.storage, found.repositories, found.tags) == (
        weight(one) - len(one.manifest.data),
        0,
        0,
    )
    for repository in ("a", "b"):
        for blob in one.blobs:
            await management.ask("admin", "DELETE", f"/v2/team/{repository}/blobs/{blob.digest}")
    assert (await usage(management)).storage == 0


async def test_who_is_over_the_quota_is_told_what_is_used_and_what_is_largest(management):
    await limited(management, storage=3 * MEGABYTE)
    assert (await management.push("admin", "team/small", content=picture(1))).status_code == 201
    response = await management.push("admin", "team/large", content=picture(2, MEGABYTE // 2))
    assert response.status_code == 201

    refused = await management.push("admin", "team/more", content=picture(3, 2 * MEGABYTE))

    assert refused.status_code == 403
    error = refused.json()["errors"][0]
    assert error["code"] == "DENIED"
    assert (
        "project 'team' is exceeded: 1.5 MiB of 3.0 MiB used, 2.0 MiB more do not fit"
        in (error["message"])
    )
    assert "Largest: team/small 1.0 MiB, team/large 512" in error["message"]
    assert error["detail"]["limit"] == 3 * MEGABYTE
    assert error["detail"]["largest"][0][0] == "team/small"
    found = await usage(management)
    assert found.reserved == 0
    assert found.storage < 2 * MEGABYTE


async def test_a_full_project_takes_no_new_upload_and_what_adds_nothing_is_taken(management):
    one = picture(1)
    await limited(management, storage=weight(one))
    assert (await management.push("admin", "team/app", content=one)).status_code == 201

    assert (await management.ask("admin", "POST", "/v2/team/app/blobs/uploads/")).status_code == 403
    again = await management.ask(
        "admin",
        "PUT",
        "/v2/team/app/manifests/another",
        content=one.manifest.data,
        headers={"Content-Type": one.manifest.descriptor.media_type},
    )
    assert again.status_code == 201
    query = f"?mount={one.blobs[1].digest}&from=team/app"
    mounted = await management.ask("admin", "POST", f"/v2/team/twin/blobs/uploads/{query}")
    assert mounted.status_code == 201
    assert (await usage(management)).storage == weight(one)


async def test_a_mount_that_does_not_fit_is_refused(management):
    one = picture(1)
    await management.add_project("source")
    await limited(management, storage=MEGABYTE)
    assert (await management.push("admin", "source/app", content=one)).status_code == 201

    query = f"?mount={one.blobs[1].digest}&from=source/app"
    response = await management.ask("admin", "POST", f"/v2/team/app/blobs/uploads/{query}")
    assert response.status_code == 201  # exactly as large as the limit
    config = one.blobs[0]
    query = f"?mount={config.digest}&from=source/app"
    response = await management.ask("admin", "POST", f"/v2/team/app/blobs/uploads/{query}")

    assert response.status_code == 403
    assert (await usage(management)).storage == MEGABYTE


@pytest.mark.parametrize("announced", [True, False])
async def test_room_is_kept_while_a_chunk_arrives_and_given_back_when_it_is_refused(
    management, announced
):
    await limited(management, storage=5 * MEGABYTE)

    async def stream(size):
        for start in range(0, size, MEGABYTE // 4):
            yield random_bytes(MEGABYTE // 4, start)

    async def append(location, size):
        body = b"".join([piece async for piece in stream(size)]) if announced else stream(size)
        return await management.ask("admin", "PATCH", location, content=body)

    begun = [
        (await management.ask("admin", "POST", "/v2/team/app/blobs/uploads/")).headers["location"]
        for _ in range(2)
    ]
    first = await append(begun[0], 3 * MEGABYTE)
    assert first.status_code == 202
    assert (await usage(management)).reserved == 3 * MEGABYTE

    second = await append(begun[1], 3 * MEGABYTE)
    assert second.status_code == 403
    assert "3.0 MiB of it by uploads under way" in second.text
    assert (await usage(management)).reserved == 3 * MEGABYTE
    gone = await management.ask("admin", "GET", begun[1])
    assert gone.status_code == 404

    data = b"".join([piece async for piece in stream(3 * MEGABYTE)])
    done = await management.ask("admin", "PUT", f"{begun[0]}?digest={Digest.of(data)}")
    assert done.status_code == 201
    found = await usage(management)
    assert (found.storage, found.reserved) == (3 * MEGABYTE, 0)


async def test_an_upload_that_is_cancelled_gives_its_room_back(management):
    await limited(management, storage=5 * MEGABYTE)
    begun = await management.ask("admin", "POST", "/v2/team/app/blobs/uploads/")
    await management.ask("admin", "PATCH", begun.headers["location"], content=b"x" * 100)
    assert (await usage(management)).reserved == 100

    await management.ask("admin", "DELETE", begun.headers["location"])

    assert (await usage(management)).reserved == 0


async def test_tags_and_repositories_are_limited_and_moving_a_tag_is_not_another(management):
    await limited(management, tags=2, repositories=1)
    for tag in ("one", "two", "two"):
        assert (await management.push("admin", "team/app", tag)).status_code == 201

    third = await management.push("admin", "team/app", "three")
    assert third.status_code == 403
    assert "the quota of tags of project 'team' is exceeded: 2 of 2 used" in third.text
    other = await management.push("admin", "team/other", "one")
    assert other.status_code == 403
    await management.ask("admin", "DELETE", "/v2/team/app/manifests/one")
    other = await management.push("admin", "team/other", "one")
    assert other.status_code == 403
    assert "the quota of repositories of project 'team' is exceeded: 1 of 1 used" in other.text
    assert (await management.push("admin", "team/app", "three")).status_code == 201


async def test_beyond_the_soft_limit_pushes_are_warned(management):
    one = picture(1)
    await limited(management, storage=MEGABYTE + MEGABYTE // 8)
    warned = await management.push("admin", "team/app", content=one)

    assert warned.status_code == 201
    assert warned.headers["warning"].startswith('299 - "project team uses 1.0 MiB of its storage')
    await management.change(store.set_limits, now=2.0, project="team", soft={Resource.STORAGE: -1})
    assert "warning" not in (await management.push("admin", "team/app", content=one)).headers


async def test_a_limit_below_what_is_used_keeps_what_is_there_and_lets_nothing_come(management):
    await limited(management, storage=10 * MEGABYTE)
    assert (await management.push("admin", "team/app", content=picture(1))).status_code == 201
    await management.change(store.set_limits, now=2.0, project="team", hard={Resource.STORAGE: 100})

    assert (await management.push("admin", "team/app", content=picture(2))).status_code == 403
    got = await management.ask("admin", "GET", "/v2/team/app/manifests/latest")
    assert got.status_code == 200
    for blob in (*picture(1).blobs,):
        await management.ask("admin", "DELETE", f"/v2/team/app/blobs/{blob.digest}")
    assert (await management.push("admin", "team/app", content=image([b"s"]))).status_code == 403


async def test_the_default_comes_from_the_configuration(database_url: str, tmp_path: Path):
    section = {"quotas": {"storage": "1MiB"}}
    async with management_of(database_url, tmp_path, longshore=section) as management:
        await management.add_project("team")
        assert (await management.push("admin", "team/app", content=picture(1))).status_code == 403
        limits = {Resource.STORAGE: -1}
        await management.change(store.set_limits, now=1.0, project="team", hard=limits)
        assert (await management.push("admin", "team/app", content=picture(1))).status_code == 201


async def test_a_registry_without_projects_keeps_no_totals_and_counts_when_it_has_some(
    database_url: str, tmp_path: Path
):
    one = picture(1)
    async with management_of(database_url, tmp_path, auth={}) as plain:
        response = await plain.push("admin", "team/app", content=one)
        assert response.status_code == 201, response.text
        assert await plain.database.read(store.is_absent)
    async with management_of(database_url, tmp_path) as management:
        await management.add_project("team")
        found = await usage(management)
        assert (found.storage, found.repositories, found.tags) == (weight(one), 1, 1)
        assert (await management.push("admin", "team/b", content=one)).status_code == 201
        assert (await usage(management)).storage == weight(one)
    async with management_of(database_url, tmp_path, auth={}) as plain:
        assert await plain.database.read(store.is_absent)
