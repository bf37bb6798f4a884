"""What a client does with answers that well-behaved registries never give."""

import httpx
import pytest

from longshore.client import wire
from longshore.client.connection import Connection
from longshore.client.credentials import Credential, OneCredential
from longshore.client.errors import (
    ContentInvalid,
    LocationInvalid,
    Overloaded,
    ProtocolViolation,
    Refused,
    Unreachable,
)
from longshore.client.registry import RegistryClient
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from tests.client.scripted import Answer, Seen, scripted

pytestmark = pytest.mark.anyio

NAME = RepositoryName("team/app")
PLAIN = Connection(plain_http=True, attempts=3)


async def test_a_list_is_followed_to_its_last_page() -> None:
    pages = {"": (["a", "b"], "b"), "b": (["c"], "c"), "c": (["d"], "")}

    def script(seen: Seen) -> Answer:
        tags, last = pages.get(dict(seen.query).get("last", ""), ([], ""))
        link = {"Link": f'</v2/team/app/tags/list?last={last}&n=2>; rel="next"'} if last else {}
        return Answer.json({"name": "team/app", "tags": tags}, headers=link)

    with scripted(script) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            tags = [tag async for tag in client.repository(NAME).tags()]

    assert tags == ["a", "b", "c", "d"]


async def test_a_list_that_leads_to_itself_ends() -> None:
    link = '</v2/team/app/tags/list?n=1000>; rel="next"'

    with scripted(lambda seen: Answer.json({"tags": ["a"]}, headers={"Link": link})) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            tags = [tag async for tag in client.repository(NAME).tags()]

    assert tags == ["a"]


async def test_a_repository_with_null_for_tags_is_empty() -> None:
    with scripted(lambda seen: Answer.json({"name": "team/app", "tags": None})) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            assert [tag async for tag in client.repository(NAME).tags()] == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_temporary_refusal_is_asked_again(status: int) -> None:
    answers = iter([Answer(), Answer(status, headers={"Retry-After": "0"})])

    with scripted(lambda seen: next(answers, Answer.json({"tags": ["v1"]}))) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            tags = [tag async for tag in client.repository(NAME).tags()]

    assert tags == ["v1"]
    assert len(server.seen) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 501, 507])
async def test_a_final_refusal_is_not_asked_again(status: int) -> None:
    error = {"errors": [{"code": "NO", "message": "because \x1b[31mof you"}]}

    with scripted(lambda seen: Answer.json(error, status)) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            with pytest.raises(Refused) as caught:
                await client.repository(NAME).get(Tag("v1"))

    assert (caught.value.status, caught.value.code) == (status, "NO")
    assert "because  [31mof you (NO, " in caught.value.message
    assert len(server.seen) == 2  # the first one looks whether anybody is there


async def test_a_registry_that_wants_an_hour_is_not_waited_for() -> None:
    with scripted(lambda seen: Answer(429, headers={"Retry-After": "3600"})) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            with pytest.raises(Overloaded) as caught:
                await client.repository(NAME).get(Tag("v1"))

    assert caught.value.retry_after == 3600
    assert len(server.seen) == 2


async def test_a_connection_that_keeps_breaking_is_given_up() -> None:
    cut = Answer(body=b"x" * 100, truncate=10)

    with scripted(lambda seen: cut if "manifests" in seen.path else Answer()) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            with pytest.raises(Unreachable, match=server.host):
                await client.repository(NAME).get(Tag("v1"))

    assert len(server.seen) == 1 + PLAIN.attempts


async def test_a_manifest_that_does_not_match_its_digest_is_refused() -> None:
    promised = Digest.of(b"another one")
    document = b'{"schemaVersion":2,"manifests":[]}'
    headers = {"Content-Type": mediatypes.OCI_INDEX, "Docker-Content-Digest": promised}

    with scripted(lambda seen: Answer(200, document, headers)) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            for target in (promised, Tag("v1")):
                with pytest.raises(ContentInvalid, match="damaged"):
                    await client.repository(NAME).get(target)


async def test_a_manifest_without_end_is_not_kept_in_memory() -> None:
    endless = b" " * (wire.LARGEST_DOCUMENT + 1)

    with scripted(lambda seen: Answer(200, endless)) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            with pytest.raises(ProtocolViolation, match="more than"):
                await client.repository(NAME).get(Tag("v1"))


async def test_credentials_do_not_follow_a_redirect_to_another_host() -> None:
    content = b"layer"
    blob = Descriptor(mediatypes.OCTET_STREAM, Digest.of(content), len(content))

    with scripted(lambda seen: Answer(200, content)) as storage:

        def script(seen: Seen) -> Answer:
            if "Authorization" not in seen.headers:
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
            return Answer(307, headers={"Location": f"http://localhost:{storage.port}/bucket"})

        with scripted(script) as server:
            credentials = OneCredential(Credential("alice", "secret"))
            async with RegistryClient(
                server.host, credentials=credentials, connection=PLAIN
            ) as client:
                pieces = client.repository(NAME).blob(blob)
                assert b"".join([piece async for piece in pieces]) == content

    assert "Authorization" in server.seen[-1].headers
    assert [seen.path for seen in storage.seen] == ["/bucket"]
    assert "Authorization" not in storage.seen[0].headers


async def test_an_upload_does_not_follow_a_redirect_to_another_host() -> None:
    def script(seen: Seen) -> Answer:
        if seen.path == "/v2/":
            return Answer()
        return Answer(307, headers={"Location": "http://localhost:1/elsewhere"})

    document = (
        b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % mediatypes.OCI_INDEX.encode()
    )
    from longshore.client.content import parse_manifest

    with scripted(script) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            with pytest.raises(ProtocolViolation, match="not followed"):
                await client.repository(NAME).put(parse_manifest(document, ""), Tag("v1"))


async def test_a_blob_is_continued_when_the_server_ignores_ranges() -> None:
    content = bytes(range(256)) * 40
    blob = Descriptor(mediatypes.OCTET_STREAM, Digest.of(content), len(content))
    cuts = iter([3000, 7000])

    def script(seen: Seen) -> Answer:
        if seen.path == "/v2/":
            return Answer()
        return Answer(200, content, truncate=next(cuts, None))

    with scripted(script) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            pieces = client.repository(NAME).blob(blob)
            assert b"".join([piece async for piece in pieces]) == content

    assert [seen.headers.get("Range") for seen in server.seen[1:]] == [
        None,
        "bytes=3000-",
        "bytes=7000-",
    ]


async def test_a_blob_longer_than_promised_is_refused() -> None:
    blob = Descriptor(mediatypes.OCTET_STREAM, Digest.of(b"12345"), 5)

    with scripted(lambda seen: Answer(200, b"1234567")) as server:
        async with RegistryClient(server.host, connection=PLAIN) as client:
            with pytest.raises(ContentInvalid, match="7 bytes"):
                _ = [piece async for piece in client.repository(NAME).blob(blob)]


@pytest.mark.parametrize(
    "text", ["", "a b", "user@host", "host:0", "host:99999", "host?x", "-host", "höst", "a\nb"]
)
def test_what_is_no_host_is_no_registry(text: str) -> None:
    with pytest.raises(LocationInvalid, match="not a registry"):
        RegistryClient(text)


def test_every_error_of_httpx_has_a_translation() -> None:
    def kinds(base: type[Exception]) -> set[type[Exception]]:
        return {base}.union(*(kinds(kind) for kind in base.__subclasses__()))

    client = wire.Wire("registry.example", Connection())
    for kind in kinds(httpx.TransportError) | {httpx.InvalidURL}:
        url = httpx.URL("https://registry.example")
        with pytest.raises((Unreachable, ProtocolViolation)), client.translated(url):
            raise kind("broken")
