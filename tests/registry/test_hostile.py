"""Input made to hurt: whatever arrives, the answer is a refusal with a reason, never a 500."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore.testing.builders import image

pytestmark = pytest.mark.anyio

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
SEGMENT = st.one_of(
    st.sampled_from(
        ["v2", "blobs", "uploads", "manifests", "tags", "list", "..", "_catalog", "a", "%2e%2e", ""]
    ),
    st.text("aA0._-:/%\x00\n\u00e9\U0001f680", min_size=1, max_size=30),
    st.just("sha256:" + "0" * 64),
    st.just("x" * 300),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Range",
            "Content-Range",
            "If-None-Match",
            "If-Match",
            "If-Range",
            "Content-Type",
            "Accept",
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    max_size=3,
)
relaxed = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def scope(method, path, headers):
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"n=x&digest=y&mount=z&from=..",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


async def status_of(application, request_scope, body):
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    sent = []

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await application(request_scope, receive, send)
    return sent[0]["status"]


@relaxed
@given(METHODS, st.lists(SEGMENT, max_size=6), HEADERS, st.binary(max_size=50))
async def test_any_path_with_any_headers_is_answered_by_name(
    registry, method, segments, headers, body
):
    path = "/v2/" + "/".join(segments)

    status = await status_of(registry.application, scope(method, path, headers), body)

    assert status < 500


@relaxed
@given(st.binary(max_size=200), st.text(max_size=40))
async def test_any_manifest_body_is_stored_or_refused(registry, body, content_type):
    headers = {"Content-Type": content_type.encode("ascii", "replace").decode()}
    path = "/v2/team/app/manifests/latest"

    status = await status_of(registry.application, scope("PUT", path, headers), body)

    assert status in (201, 400)


@pytest.mark.parametrize(
    "name",
    ["../../etc", "a/../b", "..%2f..%2fetc", "a//b", "A", "a/_layers", "a\x00b", "a/" * 200 + "a"],
)
async def test_a_name_that_climbs_is_refused(registry, name):
    path = f"/v2/{name}/manifests/latest"

    assert await status_of(registry.application, scope("PUT", path, {}), b"{}") == 400


async def test_a_deeply_nested_manifest_is_refused(registry):
    body = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    path = "/v2/team/app/manifests/latest"

    assert await status_of(registry.application, scope("PUT", path, {}), body) == 400


async def test_a_repository_may_be_named_like_an_endpoint(registry):
    picture = image()
    await registry.push_image("manifests/blobs/tags", "list", picture)

    response = await registry.client.get("/v2/manifests/blobs/tags/manifests/list")

    assert response.content == picture.manifest.data
