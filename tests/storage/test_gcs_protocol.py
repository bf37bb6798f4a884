"""The gcs driver against a service that is strict where the emulator is not, and that fails."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Callable

import pytest
import tenacity
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from longshore.storage import gcs_requests
from longshore.storage.driver import PathNotFound, StorageUnavailable
from longshore.storage.gcs import GCSStore
from longshore.storage.gcs_settings import GCSCredentials, GCSSettings
from longshore.testing.faulty_proxy import Fault, FaultyProxy
from longshore.testing.storage_faults import BROKEN
from longshore.testing.storage_fixtures import pieces
from tests.storage.gcs_protocol import UNIT, StrictService

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs_requests, "_PAUSE", tenacity.wait_none())


@pytest.fixture
async def service() -> AsyncIterator[StrictService]:
    async with StrictService().running() as running:
        yield running


@pytest.fixture
async def store(service: StrictService) -> AsyncIterator[GCSStore]:
    store = GCSStore(GCSSettings(bucket="longshore", endpoint=service.url, chunksize=2 * UNIT))
    await store.open()
    yield store
    await store.close()


async def until(ready: Callable[[], bool]) -> None:
    for _ in range(1000):
        if ready():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen")


FAULTS = ["503", "429", "partial", "lost"]


@pytest.mark.parametrize("size", [4 * UNIT, 5 * UNIT + 1], ids=["whole chunks", "a rest"])
@pytest.mark.parametrize(
    "faults",
    [
        *([fault, "fine", other] for fault, other in itertools.product(FAULTS, FAULTS)),
        ["fine", "lost", "lost", "503", "lost", "partial"],
    ],
    ids=" ".join,
)
async def test_an_upload_survives_what_may_pass(
    service: StrictService, store: GCSStore, size: int, faults: list[str]
):
    content = secrets.token_bytes(size)
    service.faults.extend(faults)

    assert await store.upload("key", pieces(content)) == size

    assert service.objects == {"key": content}
    assert not service.faults
    assert not service.given_up


async def test_an_upload_whose_last_answer_was_lost_is_found_to_have_ended(
    service: StrictService, store: GCSStore
):
    service.faults.extend(["fine", "fine", "forgotten"])

    assert await store.upload("key", pieces(bytes(5 * UNIT))) == 5 * UNIT

    assert len(service.objects["key"]) == 5 * UNIT


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (["fine", "403"], "the role roles/storage.objectUser"),
        (["fine", "400"], "the service answered 400"),
        (["fine", *["503"] * 5], "the service answered 503"),
    ],
)
async def test_an_upload_that_fails_is_given_up_and_its_secret_url_not_told(
    service: StrictService, store: GCSStore, faults: list[str], said: str
):
    service.faults.extend(faults)

    with pytest.raises(StorageUnavailable, match=said) as caught:
        await store.upload("key", pieces(bytes(9 * UNIT)))

    assert service.given_up == ["key"]
    assert service.objects == {}
    assert "session" not in str(caught.value)


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.name)
async def test_an_upload_survives_a_connection_that_breaks_at_any_request(
    service: StrictService, fault: Fault
):
    content = secrets.token_bytes(5 * UNIT + 1)
    async with FaultyProxy(*service.address) as proxy:
        given = GCSSettings(
            bucket="longshore", endpoint=f"http://{proxy.address}", chunksize=2 * UNIT
        )
        store = GCSStore(given)
        await store.open()
        for number in range(4):  # one that begins, and three chunks
            proxy.inject(fault, skip=number, times=1)
            assert await store.upload(f"key{number}", pieces(content)) == len(content)
            assert proxy.hits == 1
            assert service.objects.pop(f"key{number}") == content
        await store.close()


async def test_an_upload_that_is_gone_is_no_missing_object(service: StrictService, store: GCSStore):
    service.faults.extend(["forgotten"])

    with pytest.raises(StorageUnavailable) as caught:
        await store.upload("key", pieces(bytes(9 * UNIT)))

    assert not isinstance(caught.value, PathNotFound)


async def test_a_source_that_breaks_or_a_cancelled_upload_leaves_nothing(
    service: StrictService, store: GCSStore
):
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(5 * UNIT)
        raise ValueError("the client went away")

    async def endless() -> AsyncIterator[bytes]:
        yield bytes(5 * UNIT)
        await asyncio.Event().wait()

    with pytest.raises(ValueError, match="went away"):
        await store.upload("broken", broken())
    sending = asyncio.create_task(store.upload("cancelled", endless()))
    await until(lambda: service.held == 4 * UNIT)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)

    await until(lambda: service.given_up == ["broken", "cancelled"])
    assert service.objects == {}
    places = store._memory._places._value
    assert places == 128 * (1 << 20) // (2 * UNIT)


@pytest.fixture
async def guarded(service_account: dict[str, str]) -> AsyncIterator[StrictService]:
    """A service that wants tokens."""
    key = load_pem_private_key(service_account["private_key"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    async with StrictService(key.public_key()).running() as running:
        yield running


@pytest.fixture
def identified(
    guarded: StrictService, service_account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> GCSSettings:
    """Settings with a key; tokens are sent although there is no TLS."""
    monkeypatch.setattr(GCSSettings, "is_anonymous", False)
    content = {**service_account, "token_uri": f"{guarded.url}/token"}
    return GCSSettings(
        bucket="longshore",
        endpoint=guarded.url,
        chunksize=2 * UNIT,
        credentials=GCSCredentials.model_validate(content),
    )


async def test_one_token_is_asked_for_and_used_until_it_is_refused(
    guarded: StrictService, identified: GCSSettings
):
    store = GCSStore(identified)
    await store.open()
    await asyncio.gather(*(store.put(f"key{number}", b"x") for number in range(20)))
    assert guarded.tokens == ["token-0"]

    guarded.valid.clear()
    await asyncio.gather(*(store.put(f"other{number}", b"x") for number in range(20)))
    assert len(guarded.objects) == 40
    assert guarded.tokens[-1] in guarded.valid

    await store.upload("large", pieces(bytes(5 * UNIT)))  # chunks are sent without one
    assert len(guarded.objects["large"]) == 5 * UNIT
    await store.close()


async def test_a_token_that_is_about_to_end_is_renewed(
    guarded: StrictService, identified: GCSSettings
):
    guarded.lifetime = 60
    store = GCSStore(identified)
    await store.open()
    await store.put("key", b"x")
    assert len(guarded.tokens) > 1
    await store.close()


async def test_an_account_that_nobody_knows_is_told_without_its_key(
    guarded: StrictService, identified: GCSSettings
):
    assert identified.credentials
    stranger = {"client_email": "stranger@project.iam.gserviceaccount.com"}
    credentials = identified.credentials.model_copy(update=stranger)
    store = GCSStore(identified.model_copy(update={"credentials": credentials}))

    with pytest.raises(StorageUnavailable, match=r"no access token: .*account not found") as caught:
        await store.open()

    await store.close()
    assert "PRIVATE KEY" not in str(caught.value)


async def test_credentials_that_the_service_refuses_are_told(
    guarded: StrictService, identified: GCSSettings, monkeypatch: pytest.MonkeyPatch
):
    guarded.valid = _Nothing()
    store = GCSStore(identified)

    with pytest.raises(StorageUnavailable, match="the credentials are not accepted"):
        await store.open()

    await store.close()


class _Nothing(set[str]):
    """A set that stays empty."""

    def add(self, _element: str) -> None:
        pass
