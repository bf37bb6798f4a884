"""Rights per repository, at the door: what somebody may not read cannot be mounted, named, or told
from what is not there."""

import base64
import json
import re

import bcrypt
import pytest

from longshore.access.controller import create
from longshore.access.settings import AccessSettings, AuthSettings
from longshore.oci.digest import Digest
from longshore.testing.builders import image, index

pytestmark = pytest.mark.anyio

RULES = [
    {"repository": "secret/**", "users": ["alice"], "actions": ["*"]},
    {"repository": "secret/**", "users": ["*", "anonymous"], "actions": []},
    {"repository": "team/**", "users": ["alice", "bob"], "actions": ["push"]},
    {"repository": "public/**", "users": ["alice"], "actions": ["push"]},
    {"repository": "public/**", "users": ["*", "anonymous"], "actions": ["pull"]},
]
SECRET = image([b"what nobody else may see"])
LAYER = SECRET.blobs[1]
NOWHERE = Digest.of(b"in no repository at all")


@pytest.fixture
async def registry(cluster, tmp_path):
    """A registry with rules, and an image that only alice may read."""
    passwords = tmp_path / "htpasswd"
    hashed = bcrypt.hashpw(b"password", bcrypt.gensalt(4)).decode()
    passwords.write_text(f"alice:{hashed}\nbob:{hashed}\n")
    cluster.access = create(
        AuthSettings.model_validate({"htpasswd": {"realm": "tests", "path": passwords}}),
        AccessSettings.model_validate({"rules": RULES}),
        secret=b"tests",
    )
    await cluster.access.start()
    async with cluster.node() as node:
        node.client.headers["Authorization"] = basic("alice")
        await node.push_image("secret/app", "latest", SECRET)
        yield node
    await cluster.access.stop()


def basic(user):
    return "Basic " + base64.b64encode(f"{user}:password".encode()).decode()


@pytest.fixture
def as_user(registry):
    """Sends a request as somebody; as nobody when the name is empty."""

    async def ask(user, method, path, **parts):
        request = registry.client.build_request(method, f"/v2/{path}", **parts)
        del request.headers["Authorization"]
        if user:
            request.headers["Authorization"] = basic(user)
        return await registry.client.send(request)

    return ask


def without_names(response, *names):
    """Everything a client can see of a reply, without the names that it chose itself."""
    text = json.dumps([response.status_code, sorted(response.headers.items()), response.text])
    for name in names:
        text = text.replace(name, "NAME")
    text = re.sub(r"[0-9a-f]{32}", "UPLOAD", text)
    return re.sub(r'\["content-length", "\d+"\]', "", text)


@pytest.mark.parametrize("source", ["&from=secret/app", ""], ids=["named", "anonymous"])
async def test_what_may_not_be_pulled_cannot_be_mounted(as_user, source):
    query = f"team/app/blobs/uploads/?mount={LAYER.digest}{source}"
    missing = f"team/app/blobs/uploads/?mount={NOWHERE}{source}"

    refused = await as_user("bob", "POST", query)
    nothing = await as_user("bob", "POST", missing)
    blob = await as_user("bob", "GET", f"team/app/blobs/{LAYER.digest}")
    allowed = await as_user("alice", "POST", query)

    assert refused.status_code == 202
    assert without_names(refused) == without_names(nothing)
    assert blob.status_code == 404
    assert allowed.status_code == 201


async def test_a_mount_finds_the_one_repository_that_may_be_pulled(registry, as_user):
    for name in ("secret/a", "secret/b", "public/app"):
        await registry.push_blob(name, LAYER.data)

    mounted = await as_user("bob", "POST", f"team/app/blobs/uploads/?mount={LAYER.digest}")

    assert mounted.status_code == 201
    assert (await as_user("bob", "GET", f"team/app/blobs/{LAYER.digest}")).content == LAYER.data


async def test_a_repository_that_may_be_read_only_cannot_be_mounted_into(as_user):
    mount = f"public/app/blobs/uploads/?mount={LAYER.digest}"

    assert (await as_user("bob", "POST", mount)).status_code == 403
    assert (await as_user("", "POST", mount)).status_code == 401


@pytest.mark.parametrize("user", ["bob", ""], ids=["a user", "nobody"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "manifests/latest"),
        ("HEAD", "manifests/latest"),
        ("PUT", "manifests/latest"),
        ("DELETE", "manifests/latest"),
        ("GET", f"manifests/{SECRET.digest}"),
        ("GET", f"blobs/{LAYER.digest}"),
        ("HEAD", f"blobs/{LAYER.digest}"),
        ("DELETE", f"blobs/{LAYER.digest}"),
        ("GET", "tags/list"),
        ("GET", f"referrers/{SECRET.digest}"),
        ("POST", "blobs/uploads/"),
        ("POST", f"blobs/uploads/?mount={LAYER.digest}&from=public/app"),
    ],
)
async def test_a_hidden_repository_looks_like_one_that_is_not_there(as_user, user, method, path):
    hidden = await as_user(user, method, f"secret/app/{path}")
    missing = await as_user(user, method, f"secret/nil/{path}")

    assert hidden.status_code == (403 if user else 401)
    assert without_names(hidden, "secret/app") == without_names(missing, "secret/nil")


@pytest.mark.parametrize("user", ["bob", ""], ids=["a user", "nobody"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
async def test_an_upload_of_a_hidden_repository_looks_like_none(registry, as_user, user, method):
    real = (await registry.begin("secret/app")).rpartition("/")[2]
    replies = [
        await as_user(user, method, f"{name}/blobs/uploads/{upload}?digest={NOWHERE}", content=b"x")
        for name, upload in [("secret/app", real), ("secret/app", "0" * 32), ("secret/nil", real)]
    ]

    assert {reply.status_code for reply in replies} == {403 if user else 401}
    assert len({without_names(reply, "secret/app", "secret/nil") for reply in replies}) == 1
    status = await as_user("alice", "GET", f"secret/app/blobs/uploads/{real}")
    assert (status.status_code, status.headers["range"]) == (204, "0-0")


async def test_an_upload_cannot_be_reached_through_another_repository(registry, as_user):
    real = (await registry.begin("secret/app")).rpartition("/")[2]
    replies = [
        await as_user(
            "bob", "PUT", f"team/app/blobs/uploads/{upload}?digest={Digest.of(b'x')}", content=b"x"
        )
        for upload in (real, "0" * 32)
    ]

    assert [reply.status_code for reply in replies] == [404, 404]
    assert without_names(replies[0]) == without_names(replies[1])


async def test_a_manifest_cannot_reach_into_a_hidden_repository(registry, as_user):
    """Neither for its blobs nor for its children; and the refusal does not say what exists."""
    elsewhere = image([b"in no repository"])
    indexes = [index([SECRET.manifest]), index([elsewhere.manifest])]

    replies = [
        await as_user(
            "bob",
            "PUT",
            "team/app/manifests/latest",
            content=content.data,
            headers={"Content-Type": content.descriptor.media_type},
        )
        for content in (SECRET.manifest, elsewhere.manifest, *indexes)
    ]

    for hidden, missing in (replies[:2], replies[2:]):
        assert hidden.status_code == missing.status_code == 400
        codes = [[error["code"] for error in reply.json()["errors"]] for reply in (hidden, missing)]
        assert codes[0] == codes[1] == ["MANIFEST_BLOB_UNKNOWN"] * len(codes[0])
    assert (await registry.client.get("/v2/team/app/manifests/latest")).status_code == 404


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_naming_a_digest_is_not_enough_to_have_its_bytes(as_user, chunked):
    async def nothing():
        yield b""

    body = {"content": nothing()} if chunked else {"content": b""}
    post = await as_user("bob", "POST", f"team/app/blobs/uploads/?digest={LAYER.digest}", **body)
    begun = await as_user("bob", "POST", "team/app/blobs/uploads/")
    location = begun.headers["location"].removeprefix("/v2/")
    body = {"content": nothing()} if chunked else {"content": b""}
    put = await as_user("bob", "PUT", f"{location}?digest={LAYER.digest}", **body)

    assert post.status_code in (202, 400)
    assert put.status_code == 400
    assert (await as_user("bob", "GET", f"team/app/blobs/{LAYER.digest}")).status_code == 404


async def test_names_of_hidden_repositories_are_in_no_listing(as_user):
    assert (await as_user("bob", "GET", "_catalog")).status_code == 403
    assert (await as_user("", "GET", "_catalog")).status_code == 401


async def test_who_may_push_may_not_delete(registry, as_user):
    await registry.push_image("team/app", "latest", SECRET)

    for path in ("manifests/latest", f"manifests/{SECRET.digest}", f"blobs/{LAYER.digest}"):
        assert (await as_user("bob", "DELETE", f"team/app/{path}")).status_code == 403
    assert (await as_user("bob", "GET", "team/app/manifests/latest")).status_code == 200
