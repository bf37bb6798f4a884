"""Names, digests, queries, headers and bodies made to hurt, over real HTTP: every one gets a reply
that is no fault of ours, and no refusal tells more than the specification says it should."""

import http.client
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from longshore.oci.errors import SPECIFIED
from tests.clients import wire
from tests.services.images import MANIFEST, digest_of
from tests.services.registries import Registry

pytestmark = pytest.mark.service

#: What gives away how the server is built or where it lies.
_TELLING = re.compile(
    rb"Traceback|\.py\b|site-packages|sqlite|sqlalchemy|psycopg|SELECT |0x[0-9a-f]{8}"
)
EMPTY_DIGEST = digest_of(b"")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def ask(
    registry: Registry,
    method: str,
    target: str,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """Send a target exactly as it is: no client library that would tidy it up first."""
    connection = http.client.HTTPConnection(registry.host, timeout=10)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value.encode("latin-1"))
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        with suppress(ConnectionError):
            # A server that refuses need not read on; its reply is there all the same.
            connection.endheaders(body)
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def check(registry: Registry, reply: Reply, method: str) -> None:
    """Never a 5xx; a refusal is JSON as specified, and says nothing about the machine."""
    assert 200 <= reply.status < 500, reply
    if reply.status < 400 or method == "HEAD":
        return
    if not reply.body:
        # Refused by the HTTP layer: it was no HTTP.
        assert reply.status in (400, 413, 414, 431), reply
        return
    assert reply.headers["Content-Type"] == "application/json"
    errors = json.loads(reply.body)["errors"]
    assert errors
    for error in errors:
        assert set(error) <= {"code", "message", "detail"}
        assert reply.status in SPECIFIED[error["code"]]
        assert error["message"]
    assert not _TELLING.search(reply.body), reply
    assert str(registry.directory).encode() not in reply.body


NAMES = [
    "..%2f..%2fetc",
    "..%252f..%252fetc",
    "%2e%2e/%2e%2e/etc",
    "../../../etc",
    "a/./b",
    "a//b",
    "a%2fb%00c",
    "a%00b",
    "%c0%ae%c0%ae/etc",
    "%c0%af",
    "%e0%80%af",
    "%f0%82%82%ac",
    "%ed%a0%80",
    "%ff%fe",
    "a%5cb",
    "A",
    "a%20b",
    "a%0d%0aSet-Cookie:%20x=y",
    "_catalog",
    "a;b",
    "a%3fb",
    "a%23b",
    "%25",
    "%",
    "%zz",
    "a" * 256,
    "a/" * 127 + "a",
    "longshore+staging",
    "-a",
    "a--b..c",
]
REFERENCES = [
    "sha256:",
    "sha256:" + "0" * 63,
    "sha256:" + "0" * 65,
    "sha256:" + "G" * 64,
    "sha256:" + "A" * 64,
    "sha256:..%2f..%2f..%2fetc%2fpasswd",
    "sha256%3a" + "0" * 62 + "%00",
    "md5:" + "0" * 32,
    "sha1024:" + "0" * 256,
    ":" * 20,
    "..",
    "%2e%2e",
    ".hidden",
    "-x",
    "a" * 129,
    "a%2fb",
    "tag%00",
    "%f0%9f%98%80",
    "latest%0a",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_climbs_or_breaks_anything(open_registry: Registry, name: str) -> None:
    paths = {
        "manifests/latest": ("GET", "HEAD", "PUT", "DELETE"),
        f"blobs/{EMPTY_DIGEST}": ("GET", "DELETE"),
        "blobs/uploads/": ("POST",),
        "blobs/uploads/x": ("GET", "PATCH", "PUT", "DELETE"),
        "tags/list": ("GET",),
        f"referrers/{EMPTY_DIGEST}": ("GET",),
    }
    data = open_registry.directory / "data"
    before = objects(data)
    for path, methods in paths.items():
        for method in methods:
            reply = ask(open_registry, method, f"/v2/{name}/{path}", body=b"{}")
            check(open_registry, reply, method)
            # "a%20b" and the like are no names; "a--b" and "a%2fb" are, once decoded.
            assert reply.status != 200 or path.startswith("referrers")
    assert objects(data) == before
    assert not (data.parent / "etc").exists()


def objects(data: Path) -> set[Path]:
    """The files of the storage, without the database's log and what is being written right now: a
    worker that starts later than the first tries the disk with a file of its own."""
    return {
        file
        for file in data.rglob("*")
        if file.is_file() and file.suffix != ".db-wal" and file.parent.name != "writes"
    }


@pytest.mark.parametrize("reference", REFERENCES)
def test_no_reference_climbs_or_breaks_anything(
    open_registry: Registry, repository: str, reference: str
) -> None:
    for path in ("manifests", "blobs", "referrers", "blobs/uploads"):
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
            target = f"/v2/{repository}/{path}/{reference}"
            reply = ask(open_registry, method, target, body=b"{}")
            check(open_registry, reply, method)
            assert reply.status >= 400


@pytest.mark.parametrize(
    "query",
    [
        "n=-1",
        "n=0",
        "n=99999999999999999999",
        "n=1e9",
        "n=%00",
        "n=",
        "n=1&n=2",
        "last=%00",
        "last=" + "x" * 5000,
        "last=%ff%fe",
        "n=5&last=..%2f..",
        "artifactType=%00%ff",
        "%00=%00",
        "&&&===",
        "a[]=b;c",
    ],
)
def test_no_query_breaks_a_listing(open_registry: Registry, repository: str, query: str) -> None:
    with open_registry.client() as client:
        wire.blob_descriptor(client, repository, b"{}", "application/json")
    for path in ("_catalog", f"{repository}/tags/list", f"{repository}/referrers/{EMPTY_DIGEST}"):
        check(open_registry, ask(open_registry, "GET", f"/v2/{path}?{query}"), "GET")


def test_a_line_break_in_a_name_makes_no_header(open_registry: Registry) -> None:
    for target in (
        "/v2/a%0d%0aX-Evil:%20yes/tags/list",
        "/v2/_catalog?n=1&last=a%0d%0aX-Evil:%20yes",
        "/v2/a/blobs/uploads/?mount=%0d%0aX-Evil:%20yes&from=%0d%0aX-Evil:%20yes",
    ):
        for method in ("GET", "POST"):
            assert "X-Evil" not in ask(open_registry, method, target).headers


def test_a_manifest_beyond_the_limit_is_refused_as_too_large(
    open_registry: Registry, repository: str
) -> None:
    target, body = f"/v2/{repository}/manifests/latest", b" " * ((4 << 20) + 1)

    reply = ask(open_registry, "PUT", target, {"Content-Type": MANIFEST}, body)

    check(open_registry, reply, "PUT")
    assert reply.status == 413


@pytest.mark.parametrize(
    "document",
    [
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        b"[" * 1_000_000,
        b'{"schemaVersion":' + b"9" * 100_000 + b"}",
        b'{"schemaVersion":1e400}',
        b'{"schemaVersion":2,"layers":[' + b"{}," * 100_000 + b"{}]}",
        b'{"schemaVersion":2,"schemaVersion":1,"mediaType":null}',
        b'{"mediaType":"\\ud800"}',
        b"\xef\xbb\xbf{}",
        b'{"config":{"digest":"sha256:' + b"0" * 64 + b'","size":-1}}',
        b'{"config":{"digest":"../../etc/passwd","size":1e999}}',
        b'{"annotations":{"' + b"k" * 1_000_000 + b'":"\\u0000"}}',
        b"NaN",
        b"",
    ],
    ids=lambda document: document[:24].decode(errors="replace"),
)
def test_a_manifest_made_to_hurt_is_refused(
    open_registry: Registry, repository: str, document: bytes
) -> None:
    target = f"/v2/{repository}/manifests/latest"

    reply = ask(open_registry, "PUT", target, {"Content-Type": MANIFEST}, document)

    check(open_registry, reply, "PUT")


_TOKEN = st.text("aA0z._-:/%+~?#&=;,@*\\\"'<>{}|^`[] \t", max_size=12)
_ESCAPE = st.binary(min_size=1, max_size=4).map(lambda raw: "".join(f"%{byte:02x}" for byte in raw))
_SEGMENT = st.one_of(
    st.sampled_from(
        ["v2", "blobs", "uploads", "manifests", "tags", "list", "referrers", "_catalog", "..", "a"]
    ),
    st.sampled_from([*NAMES, *REFERENCES, EMPTY_DIGEST]),
    st.lists(_TOKEN | _ESCAPE, max_size=3).map("".join),
)
_TARGET = st.builds(
    lambda path, query: "/v2/" + _without_spaces("/".join(path)) + _query(query),
    st.lists(_SEGMENT, max_size=6),
    st.lists(
        st.tuples(
            st.sampled_from(
                ["n", "last", "digest", "mount", "from", "tag", "digest-algorithm", "artifactType"]
            ),
            _SEGMENT,
        ),
        max_size=3,
    ),
)
_VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"))
_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("Accept", "Authorization", "Content-Range", "Content-Type", "Cookie", "Forwarded"),
            *("If-Match", "If-None-Match", "If-Range", "Range", "X-Forwarded-For"),
            *("X-Forwarded-Host", "X-Forwarded-Proto", "X-HTTP-Method-Override", "Date"),
        ]
    ),
    st.one_of(
        _VALUE,
        st.sampled_from(
            [
                *("bytes=0-", "bytes=-0", "bytes=5-1", "bytes=0-0,1-1,2-2", "bytes=9" + "9" * 30),
                *("0-0", "5-1", "0-18446744073709551616", "*/*", "Basic Og==", "Bearer a.b.c", "*"),
                *('for="[::1]:x";host=evil;proto=gopher', "multipart/form-data; boundary=x"),
            ]
        ),
    ),
    max_size=4,
)
_METHOD = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "FROB"])


def _without_spaces(text: str) -> str:
    return re.sub(r"[\x00-\x20\x7f]", "%20", text).replace("?", "%3f")


def _query(pairs: list[tuple[str, str]]) -> str:
    return "?" + "&".join(f"{name}={_without_spaces(value)}" for name, value in pairs)


@given(_METHOD, _TARGET, _HEADERS, st.none() | st.binary(max_size=60))
@settings(
    max_examples=400,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_request_gets_a_reply_that_says_only_what_it_should(
    open_registry: Registry, method: str, target: str, headers: dict[str, str], body: bytes | None
) -> None:
    check(open_registry, ask(open_registry, method, target, headers, body), method)
