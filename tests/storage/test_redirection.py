"""Where clients are sent for the bytes of a blob: the middleware of distribution, and the probe."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from longshore.storage import cloudfront, layout
from longshore.storage.aws_networks import AWSNetworks
from longshore.storage.driver import StorageUnavailable
from longshore.storage.filesystem import FilesystemDriver
from longshore.storage.middleware_settings import StorageMiddlewareSettings
from longshore.storage.objects import ObjectDriver
from longshore.storage.redirect_probe import RedirectProbe
from longshore.storage.redirection import DriverURLs, Redirection, url_source
from longshore.storage.s3 import S3Store
from longshore.storage.s3_settings import S3Settings
from tests.services.cdn import CDN, KEY_ID, serving

pytestmark = pytest.mark.anyio

PATH = "/docker/registry/v2/blobs/sha256/ab/abcd/data"
RANGES = {
    "prefixes": [
        {"ip_prefix": "192.0.2.0/24", "region": "us-east-1"},
        {"ip_prefix": "198.51.100.0/24", "region": "eu-west-1"},
    ],
    "ipv6_prefixes": [{"ipv6_prefix": "2001:db8::/32", "region": "us-east-1"}],
}


class Signing(FilesystemDriver):
    """A storage that signs by writing what it was asked for."""

    async def presigned_url(self, path, method, lifetime):
        return f"https://bucket.example/root{path}?{method}={lifetime:.0f}"


@pytest.fixture
def cdn(tmp_path: Path) -> Iterator[CDN]:
    directory = tmp_path / "behind"
    directory.mkdir()
    with serving(directory) as found:
        yield found


def middleware(name, **options):
    return StorageMiddlewareSettings.model_validate({"name": name, "options": options})


async def made(driver, *entries):
    """As at a start, which may read files."""
    return await anyio.to_thread.run_sync(url_source, driver, entries)


async def url_of(driver, *entries, client="203.0.113.9", lifetime=60.0):
    source = await made(driver, *entries)
    assert source is not None
    return await source.url(PATH, "GET", lifetime, client)


async def test_without_middleware_the_storage_signs(tmp_path):
    assert await url_of(Signing(tmp_path)) == f"https://bucket.example/root{PATH}?GET=60"
    assert url_source(FilesystemDriver(tmp_path)) is None


@pytest.mark.parametrize("base", ["https://cdn.example/images", "https://cdn.example/images/"])
async def test_redirect_puts_an_address_before_the_path(tmp_path, base):
    found = await url_of(FilesystemDriver(tmp_path), middleware("redirect", baseurl=base))

    assert found == f"https://cdn.example/images{PATH}"


async def test_rewrite_changes_what_the_one_before_it_says(tmp_path):
    entry = middleware("rewrite", scheme="http", host="proxy:8080", trimpathprefix="/root")

    assert await url_of(Signing(tmp_path), entry) == f"http://proxy:8080{PATH}?GET=60"


async def test_disabled_middleware_is_left_out(tmp_path):
    entry = StorageMiddlewareSettings.model_validate({"name": "redirect", "disabled": True})

    assert await url_of(Signing(tmp_path), entry) == f"https://bucket.example/root{PATH}?GET=60"


async def test_cloudfront_urls_carry_a_signature_that_its_public_key_confirms(cdn, tmp_path):
    key = cdn.private_key(tmp_path / "key.pem")
    entry = middleware("cloudfront", baseurl=cdn.url, privatekey=key, keypairid=KEY_ID)
    url = await url_of(FilesystemDriver(tmp_path), entry)

    assert url.startswith(f"{cdn.url}{PATH}?Expires=")
    assert cdn.refusal(url) == ""
    assert cdn.refusal(url.replace("/abcd/", "/abce/")) == "SignatureInvalid"
    assert cdn.refusal(url.replace("Expires=1", "Expires=2")) == "SignatureInvalid"


@pytest.mark.parametrize("bits", [1024, 4096])
async def test_every_character_of_a_signature_needs_no_escaping(bits):
    from cryptography.hazmat.primitives.asymmetric import rsa

    signer = cloudfront.URLSigner(rsa.generate_private_key(65537, bits), KEY_ID)
    for expires in range(20):
        signature = signer.sign("https://c.example/x", expires).partition("Signature=")[2]
        assert not set("+/=%") & set(signature.partition("&")[0])


async def test_a_bucket_is_named_with_its_root_directory(cdn, tmp_path):
    key = cdn.private_key(tmp_path / "key.pem")
    entry = middleware("cloudfront", baseurl="cdn.example", privatekey=key, keypairid=KEY_ID)
    url = await url_of(
        ObjectDriver(S3Store(S3Settings(bucket="b", region="r")), "/registry"), entry
    )

    assert url.startswith(f"https://cdn.example/registry{PATH}?")


async def test_cloudfront_says_how_long_a_url_is_valid(cdn, tmp_path):
    key = cdn.private_key(tmp_path / "key.pem")
    options = {"baseurl": cdn.url, "privatekey": key, "keypairid": KEY_ID}
    driver = FilesystemDriver(tmp_path)
    default = await url_of(driver, middleware("cloudfront", **options), lifetime=-10)
    own = await url_of(driver, middleware("cloudfront", duration="1h", **options), lifetime=-10)

    assert cdn.refusal(default) == "Expired"
    assert cdn.refusal(own) == ""


@pytest.mark.parametrize("content", [None, b"no key", b"-----BEGIN PRIVATE KEY-----\n"])
async def test_a_key_that_cannot_sign_stops_the_start_with_its_name(tmp_path, content):
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    entry = middleware("cloudfront", baseurl="c", privatekey=path, keypairid="k")

    with pytest.raises(cloudfront.KeyUnusable, match=f"privatekey {path}: "):
        await made(FilesystemDriver(tmp_path), entry)


@pytest.mark.parametrize(
    ("filter", "client", "direct"),
    [
        ({"ipfilteredby": "aws"}, "192.0.2.7", True),
        ({"ipfilteredby": "aws"}, "2001:db8::1", True),
        ({"ipfilteredby": "aws"}, "203.0.113.9", False),
        ({"ipfilteredby": "aws"}, "", False),
        ({"ipfilteredby": "awsregion", "awsregion": "eu-west-1, x"}, "198.51.100.1", True),
        ({"ipfilteredby": "awsregion", "awsregion": "eu-west-1"}, "192.0.2.7", False),
        ({}, "192.0.2.7", False),
    ],
)
async def test_clients_inside_aws_get_the_storage_itself(cdn, tmp_path, filter, client, direct):
    (cdn.directory / "ranges.json").write_text(json.dumps(RANGES))
    key = cdn.private_key(tmp_path / "key.pem")
    entry = middleware(
        "cloudfront",
        baseurl=cdn.url,
        privatekey=key,
        keypairid=KEY_ID,
        iprangesurl=str(cdn.directory / "ranges.json"),
        **filter,
    )
    source = await made(Signing(tmp_path), entry)
    await source.url(PATH, "GET", 60, client)  # the list is read from now on
    await anyio.sleep(0.1)
    if source.nearby:
        await source.nearby.read()
    found = await source.url(PATH, "GET", 60, client)

    assert found.startswith("https://bucket.example/") is direct


async def test_a_list_that_cannot_be_read_leaves_what_was_known(tmp_path, caplog):
    file = tmp_path / "ranges.json"
    file.write_text(json.dumps(RANGES))
    networks = AWSNetworks(str(file))
    await networks.read()
    file.write_text("{}")
    await networks.read()

    assert networks.holds("192.0.2.7")
    assert "cannot be read" in caplog.text


class TestProbe:
    """The server follows a redirect itself."""

    @pytest.fixture
    async def driver(self, cdn):
        opened = FilesystemDriver(cdn.directory)
        await opened.open()
        yield opened
        await opened.close()

    async def probe(self, driver, entry, **options):
        self.told: dict[str, str] = {}
        source = await made(driver, entry)
        assert source is not None
        self.redirection = Redirection(source)
        return RedirectProbe(
            "redirect", driver, self.redirection, self.told.__setitem__, lifetime=60, **options
        )

    async def test_it_is_content_when_the_bytes_arrive(self, driver, cdn, tmp_path):
        key = cdn.private_key(tmp_path / "key.pem")
        entry = middleware("cloudfront", baseurl=cdn.url, privatekey=key, keypairid=KEY_ID)

        assert await (await self.probe(driver, entry)).once() == ""
        assert cdn.answers == [("GET", layout.PROBE, 200)]
        assert self.told == {"redirect": ""}

    @pytest.mark.parametrize("stream", [False, True])
    async def test_it_warns_and_suspends_redirects_if_it_is_told_to(
        self, driver, cdn, caplog, stream
    ):
        entry = middleware("redirect", baseurl=cdn.url)  # which takes signed URLs only
        probe = await self.probe(driver, entry, stream=stream)
        cdn.refusal = lambda url: "MissingKey"
        await probe.once()
        await probe.once()
        during = await self.redirection.url(PATH, "GET", 60, "")
        cdn.refusal = lambda url: ""
        await probe.once()

        assert (during is None) is stream
        assert await self.redirection.url(PATH, "GET", 60, "") == f"{cdn.url}{PATH}"
        assert caplog.text.count("answered 403 MissingKey") == 1
        assert self.told == {"redirect": ""}

    async def test_nobody_there_is_told_without_what_is_signed(self, driver, tmp_path, cdn):
        key = cdn.private_key(tmp_path / "key.pem")
        entry = middleware(
            "cloudfront", baseurl="http://127.0.0.1:1/", privatekey=key, keypairid=KEY_ID
        )
        said = await (await self.probe(driver, entry)).once()

        assert "127.0.0.1:1" in said
        assert "Signature" not in said

    async def test_a_registry_that_is_read_only_writes_nothing(self, driver, cdn):
        entry = middleware("redirect", baseurl=cdn.url)

        assert await (await self.probe(driver, entry, writes=False)).once() == ""
        assert not list(cdn.directory.rglob("*probe*"))


async def test_a_storage_that_cannot_sign_is_left_alone_for_a_while(tmp_path, caplog, monkeypatch):
    asked = []
    counted = []

    class Broken(FilesystemDriver):
        async def presigned_url(self, path, method, lifetime):
            asked.append(path)
            raise StorageUnavailable("s3", path, "no credentials")

    redirection = Redirection(DriverURLs(Broken(tmp_path)), lambda: counted.append(1))
    with caplog.at_level(logging.WARNING):
        found = [await redirection.url(PATH, "GET", 60, "") for _ in range(3)]

    assert found == [None] * 3
    assert (len(asked), len(counted)) == (1, 3)
    assert caplog.text.count("no credentials") == 1
