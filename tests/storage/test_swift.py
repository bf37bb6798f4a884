"""The swift driver against OpenStack's own servers, with TempAuth and with Keystone."""

import asyncio
import json
import secrets
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr

from longshore.storage import swift as swift_module
from longshore.storage.driver import (
    AbandonedUploads,
    PathNotFound,
    Redirects,
    StorageDriver,
    StorageUnavailable,
)
from longshore.storage.objects import ObjectDriver
from longshore.storage.swift import SwiftStore
from longshore.storage.swift_segments import Segment
from longshore.storage.swift_settings import SwiftSettings
from longshore.telemetry import clock
from longshore.testing.storage_contract import SharedDriverContract
from longshore.testing.storage_fixtures import MIB, content, stage
from tests.services.programs import PROJECT
from tests.services.swift import (
    KEYSTONE_PASSWORD,
    KEYSTONE_USER,
    MANIFEST_LIMIT,
    PASSWORD,
    PROJECT_NAME,
    USER,
    Keystone,
    Swift,
)

pytestmark = [pytest.mark.anyio, pytest.mark.service]


def settings(swift: "Swift | Address", **more: Any) -> SwiftSettings:
    given = {
        "authurl": swift.authurl,
        "username": USER,
        "password": SecretStr(PASSWORD),
        "container": "longshore",
        "chunksize": MIB,
    }
    return SwiftSettings(**{**given, **more})


@pytest.fixture(scope="module")
def root() -> str:
    return f"/tests/{uuid.uuid4().hex}"


async def opened(settings: SwiftSettings) -> StorageDriver:
    driver = ObjectDriver(SwiftStore(settings), settings.prefix)
    await driver.open()
    return driver


async def opened_elsewhere(argument: str) -> StorageDriver:
    """The driver in a process of its own."""
    authurl, root = json.loads(argument)
    return await opened(settings(Address(authurl), prefix=root))


@pytest.fixture
async def driver(swift: Swift, root: str) -> AsyncIterator[StorageDriver]:
    driver = await opened(settings(swift, prefix=root))
    yield driver
    await driver.close()


class TestSwiftDriver(SharedDriverContract):
    elsewhere_opener = "tests.storage.test_swift:opened_elsewhere"
    #: The server of the tests takes minutes for ten thousand: `make storage-large` does that.
    many = 1_100

    @pytest.fixture
    async def driver(self, swift: Swift, root: str) -> AsyncIterator[StorageDriver]:
        driver = await opened(settings(swift, prefix=root))
        yield driver
        await driver.close()

    @pytest.fixture
    async def other(self, swift: Swift, root: str) -> AsyncIterator[StorageDriver]:
        driver = await opened(settings(swift, prefix=root))
        yield driver
        await driver.close()

    @pytest.fixture
    def elsewhere(self, swift: Swift, root: str) -> str:
        return json.dumps([swift.authurl, root])

    async def leftovers(self, driver: StorageDriver) -> Iterable[str]:
        """Objects of any kind, and segments that belong to none."""
        keys = [entry.path async for entry in driver.list("/contract")]
        assert isinstance(driver, AbandonedUploads)
        ended = await driver.remove_abandoned(clock.timestamp() + 3600)
        return [*keys, *(f"segments of {number} objects" for number in range(ended))]


async def test_what_a_killed_process_was_sending_is_freed_by_maintenance(
    swift: Swift, driver: StorageDriver, root: str
):
    program = (
        "import asyncio, os, signal\n"
        "from longshore.storage.driver import Staged\n"
        "from tests.storage.test_swift import Address, opened, settings\n"
        "async def body():\n"
        f"    yield bytes({5 * MIB})\n"
        "    await asyncio.sleep(1)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "async def main():\n"
        f"    driver = await opened(settings(Address({swift.authurl!r}), prefix={root!r}))\n"
        "    await driver.append(Staged('killed'), body())\n"
        "asyncio.run(main())\n"
    )
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=PROJECT)
    assert await killed.wait() == -signal.SIGKILL
    assert isinstance(driver, AbandonedUploads)

    assert await driver.remove_abandoned(clock.timestamp() - 3600) == 0  # too young
    assert await driver.remove_abandoned(clock.timestamp() + 3600) == 1
    assert await driver.remove_abandoned(clock.timestamp() + 3600) == 0


async def test_maintenance_leaves_the_segments_of_large_objects_alone(
    driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(swift_module, "_COPY", 5 * MIB)
    body = secrets.token_bytes(12 * MIB)
    await driver.publish(await stage(driver, "large", body), "/contract/large")
    assert isinstance(driver, AbandonedUploads)

    assert await driver.remove_abandoned(clock.timestamp() + 3600) == 0

    assert await content(driver.stream("/contract/large")) == body
    assert (
        await content(driver.stream("/contract/large", 5 * MIB - 7, 14))
        == (body[5 * MIB - 7 : 5 * MIB + 7])
    )
    (found,) = [entry async for entry in driver.list("/contract/large"[:9])]
    assert found.stat.size == (await driver.stat("/contract/large")).size == 12 * MIB
    await driver.publish(await stage(driver, "large", body[1:]), "/contract/large")
    assert await driver.remove_abandoned(clock.timestamp() + 3600) == 1  # of the object before
    assert await content(driver.stream("/contract/large")) == body[1:]
    await driver.delete("/contract/large")
    assert await driver.remove_abandoned(clock.timestamp() + 3600) == 0


async def test_an_object_is_joined_from_parts_of_every_size(
    driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(swift_module, "_COPY", 10 * MIB)
    sizes = (1, 6 * MIB, 100, 11 * MIB, 3 * MIB, 1, 5 * MIB)
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    staged = await stage(driver, "joined", *bodies)
    await driver.publish(staged, "/contract/joined")
    assert await content(driver.stream("/contract/joined")) == b"".join(bodies)
    await driver.delete_tree("/contract")


async def test_segments_stay_while_it_is_open_whether_an_object_was_made_of_them(
    driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(swift_module, "_COPY", 5 * MIB)
    store = store_of(driver)
    store_manifest = store.store_manifest

    async def lost(key: str, segments: Sequence[Segment]) -> None:
        await store_manifest(key, segments)
        raise StorageUnavailable("swift", key, "the answer was lost")

    body = secrets.token_bytes(6 * MIB)
    staged = await stage(driver, "open", body)
    monkeypatch.setattr(store, "store_manifest", lost)
    with pytest.raises(StorageUnavailable, match="the answer was lost"):
        await driver.publish(staged, "/contract/open")
    monkeypatch.undo()

    assert await content(driver.stream("/contract/open")) == body
    await driver.discard("open")
    assert await content(driver.stream("/contract/open")) == body
    await driver.delete("/contract/open")


async def test_segments_go_when_the_service_refuses_the_object(
    driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
):
    store = store_of(driver)
    monkeypatch.setattr(store, "manifest_limit", 2 * MANIFEST_LIMIT)  # which is not so
    with pytest.raises(StorageUnavailable, match="the service answered 413"):
        await stage(driver, "refused", bytes((MANIFEST_LIMIT + 2) * MIB))
    assert isinstance(driver, AbandonedUploads)
    assert await driver.remove_abandoned(clock.timestamp() + 3600) == 0


async def test_an_object_of_more_segments_than_a_manifest_may_have_is_whole(driver: StorageDriver):
    body = secrets.token_bytes((2 * MANIFEST_LIMIT + 1) * MIB + 5)
    staged = await stage(driver, "many", body)
    assert await content(driver.staged_stream(staged)) == body
    await driver.discard("many")
    assert isinstance(driver, AbandonedUploads)
    assert await driver.remove_abandoned(clock.timestamp() + 3600) == 0


async def test_listings_of_several_pages_are_complete(
    driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(swift_module, "_PAGE", 40)
    for start in range(0, 200, 50):
        await asyncio.gather(
            *(driver.write(f"/contract/many/{n:05}", b"x") for n in range(start, start + 50))
        )
    found = [entry.path async for entry in driver.list("/contract/many")]
    assert found == [f"/contract/many/{n:05}" for n in range(200)]
    await driver.delete_tree("/contract/many")
    assert [entry async for entry in driver.list("/contract/many")] == []


async def test_a_large_object_that_distribution_wrote_is_read_and_removed_with_its_segments(
    swift: Swift, driver: StorageDriver, root: str
):
    async with account(swift) as client:
        for number, part in enumerate((b"first ", b"second")):
            put = await client.put(f"/longshore{root}/segments/b39/{number:016}", content=part)
            assert put.is_success, put.text
        made = await client.put(
            f"/longshore{root}/contract/blob",
            headers={"X-Object-Manifest": f"longshore{root}/segments/b39/"},
        )
        assert made.is_success, made.text

        assert await driver.read("/contract/blob") == b"first second"
        await driver.delete("/contract/blob")

        listed = await client.get("/longshore", params={"prefix": f"{root[1:]}/segments"})
        assert listed.text == ""


async def test_a_signed_url_gives_the_object_to_anybody_and_nothing_else(
    swift: Swift, root: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(swift_module, "_COPY", 5 * MIB)
    for more in ({}, {"tempurlcontainerkey": True}):
        driver = await opened(
            settings(swift, prefix=root, secretkey=SecretStr(f"key{len(more)}"), **more)
        )
        body = secrets.token_bytes(6 * MIB)  # which has segments
        await driver.publish(await stage(driver, "signed", body), "/contract/object")
        assert isinstance(driver, Redirects)
        url = await driver.presigned_url("/contract/object", "GET", 60)
        late = await driver.presigned_url("/contract/object", "GET", -1)
        assert url
        assert late

        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).content == body
            assert (await client.head(url)).headers["Content-Length"] == str(len(body))
            ranged = await client.get(url, headers={"Range": "bytes=1-3"})
            assert (ranged.status_code, ranged.content) == (206, body[1:4])
            assert (await client.get(url.partition("?")[0])).status_code == 401
            assert (await client.get(url.replace("object", "objecu"))).status_code == 401
            assert (await client.get(late)).status_code == 401
            assert (await client.put(url, content=b"x")).status_code == 401
        assert await driver.presigned_url("/contract/object", "PUT", 60) is None
        await driver.delete("/contract/object")
        await driver.close()


async def test_without_a_key_nothing_is_signed(swift: Swift, root: str):
    driver = await opened(settings(swift, container="unsigned", tempurlcontainerkey=True))
    assert isinstance(driver, Redirects)
    assert await driver.presigned_url("/contract/object", "GET", 60) is None
    await driver.close()


async def test_a_token_that_is_refused_is_renewed(swift: Swift, driver: StorageDriver):
    await driver.write("/contract/object", b"content")
    store = store_of(driver)
    old = await store._account.access()
    store._account._access = replace(old, token="AUTH_tkout-of-date")

    reads = await asyncio.gather(*(driver.read("/contract/object") for _ in range(5)))

    assert reads == [b"content"] * 5
    assert (await store._account.access()).token != "AUTH_tkout-of-date"
    await driver.delete("/contract/object")


async def test_a_container_that_is_gone_is_not_taken_for_missing_objects(swift: Swift):
    driver = await opened(settings(swift, container="short-lived"))
    with pytest.raises(PathNotFound):
        await driver.read("/contract/object")
    async with account(swift) as client:
        assert (await client.delete("/short-lived")).is_success

    for call in (driver.read, driver.stat, lambda path: content(driver.stream(path))):
        with pytest.raises(StorageUnavailable, match="container 'short-lived' is gone"):
            await call("/contract/object")
    with pytest.raises(StorageUnavailable):
        await driver.write("/contract/object", b"content")
    await driver.close()


async def test_requests_to_the_service_are_few(driver: StorageDriver):
    store = store_of(driver)
    sent: list[str] = []
    request = store._account._http._request

    async def note(method: str, *given: Any, **more: Any) -> Any:
        sent.append(method)
        return await request(method, *given, **more)

    store._account._http._request = note  # type: ignore[method-assign]

    async def requests(work: Awaitable[object]) -> list[str]:
        sent.clear()
        await work
        return list(sent)

    assert await requests(driver.write("/contract/small", b"pushed in one request")) == ["PUT"]
    staged = await stage(driver, "docker", b"as docker pushes")
    published = await requests(driver.publish(staged, "/contract/blob"))
    assert published == ["PUT", "GET", "HEAD", "DELETE"]  # copy, list, look, remove
    assert await requests(driver.read("/contract/blob")) == ["GET"]
    assert isinstance(driver, Redirects)
    assert await requests(driver.presigned_url("/contract/blob", "GET", 60)) == []
    large = await requests(stage(driver, "large", bytes(2 * MIB + 1)))
    assert large == ["PUT"] * 4  # three segments and the manifest
    assert await requests(driver.discard("large")) == ["GET", "HEAD", "DELETE"]
    assert await requests(driver.delete_tree("/contract")) == ["GET", "GET", "POST"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"password": SecretStr("wrong")}, "the login is refused: correct storage.swift.username"),
        ({"username": "tests:wrong"}, "the login is refused"),
        ({"authurl": "http://127.0.0.1:9/auth/v1.0"}, "http://127.0.0.1:9/auth/v1.0 does not answer"),
        ({"authversion": 3, "tenant": "t"}, "answered 4.. to the login: correct storage.swift.authurl"),
        ({"container": "x" * 300}, "the service answered 400"),
    ],
)  # fmt: skip
async def test_a_container_that_cannot_be_used_is_told_with_what_to_do(
    swift: Swift, more: dict[str, Any], said: str
):
    driver = ObjectDriver(SwiftStore(settings(swift, **more)))
    with pytest.raises(StorageUnavailable, match=said) as caught:
        await driver.open()
    await driver.close()
    assert "wrong" not in str(caught.value)


class TestKeystone:
    """The login of version 3, to the real identity service."""

    @pytest.fixture
    def password(self, keystone: Keystone) -> dict[str, Any]:
        return {
            "authurl": f"{keystone.url}/v3",
            "username": KEYSTONE_USER,
            "password": SecretStr(KEYSTONE_PASSWORD),
            "tenant": PROJECT_NAME,
            "region": "here",
        }

    async def works(self, swift: Swift, **more: Any) -> None:
        driver = await opened(settings(swift, **more))
        await driver.write("/contract/object", b"content")
        assert await driver.read("/contract/object") == b"content"
        await driver.delete("/contract/object")
        await driver.close()

    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"domain": "Default", "tenantdomainid": "default"},
            {"domainid": "default", "tenantdomain": "Default", "endpointtype": "internal"},
        ],
    )
    async def test_a_user_logs_in_with_a_password(
        self, swift: Swift, password: dict[str, Any], more: dict[str, Any]
    ):
        await self.works(swift, **password, **more)

    async def test_a_project_may_be_named_by_its_id(
        self, swift: Swift, keystone: Keystone, password: dict[str, Any]
    ):
        await self.works(swift, **{**password, "tenant": "", "tenantid": keystone.project})

    async def test_an_application_credential_logs_in_and_its_token_is_renewed(
        self, swift: Swift, keystone: Keystone
    ):
        identity, secret = keystone.application_credential(uuid.uuid4().hex)
        driver = await opened(
            settings(
                swift,
                authurl=f"{keystone.url}/v3",
                username="",
                password=SecretStr(""),
                applicationcredentialid=identity,
                applicationcredentialsecret=SecretStr(secret),
                region="here",
            )
        )
        account = store_of(driver)._account
        assert account._access
        account._access = replace(account._access, token="out-of-date")
        await driver.write("/contract/object", b"content")
        account._access = replace(account._access, until=0.0)
        await driver.delete("/contract/object")
        await driver.close()

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            ({"password": SecretStr("wrong")}, "the login is refused"),
            ({"tenant": "another"}, "the login is refused"),
            ({"region": "nowhere"}, "in region nowhere; it has them in: .*here"),
            ({"endpointtype": "admin"}, "no object store with a admin address"),
            ({"region": "elsewhere"}, "the service does not answer"),
        ],
    )
    async def test_what_is_wrong_is_told(
        self, swift: Swift, password: dict[str, Any], more: dict[str, Any], said: str
    ):
        driver = ObjectDriver(SwiftStore(settings(swift, **{**password, **more})))
        with pytest.raises(StorageUnavailable, match=said):
            await driver.open()
        await driver.close()


@dataclass
class Address:
    """Where Swift is, as far as :func:`settings` has to know."""

    authurl: str


def store_of(driver: StorageDriver) -> SwiftStore:
    store = cast("ObjectDriver", driver)._store
    assert isinstance(store, SwiftStore)
    return store


@asynccontextmanager
async def account(swift: Swift) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the account that the tests use."""
    async with httpx.AsyncClient() as client:
        headers = {"X-Auth-User": USER, "X-Auth-Key": PASSWORD}
        login = await client.get(swift.authurl, headers=headers)
    headers = {"X-Auth-Token": login.headers["X-Auth-Token"]}
    url = login.headers["X-Storage-Url"]
    async with httpx.AsyncClient(base_url=url, headers=headers) as client:
        yield client
