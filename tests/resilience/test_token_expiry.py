"""A push that takes longer than its token lives: the upload goes on for whoever began it, and for
nobody else; what comes after the upload needs a token that is valid."""

import random
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.access.tokenserver import SERVICE, TokenServer, claims, grant, sign
from tests.clients import wire
from tests.services.certificates import Authority
from tests.services.images import CONFIG, MANIFEST, descriptor, digest_of, json_bytes
from tests.services.registries import Registry, RegistryFactory

pytestmark = pytest.mark.service

NAME = "team/app"


def answers(registry: Registry) -> bool:
    """Whether it asks for a token yet."""
    try:
        return httpx.get(f"{registry.url}/v2/").status_code == httpx.codes.UNAUTHORIZED
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Registry]:
    """A registry that believes a token server of the tests' own."""
    directory = tmp_path_factory.mktemp("tokens")
    server = TokenServer(directory)
    server.publish("rsa", kid="one", use="sig")
    auth = server.auth(jwks=str(server.key_set))
    factory = RegistryFactory(directory, authority)
    yield factory({"auth": auth}, ready=answers)
    factory.close()


def token(
    subject: str = "carol", *, lives: float, name: str = NAME, actions: str = "pull,push"
) -> dict[str, str]:
    """The header with a token that is valid for ``lives`` seconds from now (or ended so long ago)."""
    now = time.time()
    body = claims(
        sub=subject,
        exp=int(now + lives),
        nbf=int(now) - 3600,
        iat=int(now) - 3600,
        access=[grant(name, *actions.split(","))],
    )
    return {"Authorization": f"Bearer {sign(body, header={'kid': 'one'})}"}


#: Seconds from now. Clocks may differ by a minute before a token counts as expired.
VALID, LAST_MOMENT, EXPIRED = 300.0, -58.0, -120.0


@pytest.fixture
def content(dice: random.Random) -> bytes:
    return dice.randbytes(2_500_000)


def start(registry: Registry, subject: str = "carol") -> str:
    headers = token(subject, lives=VALID)
    with httpx.Client(base_url=registry.url, headers=headers) as client:
        return wire.start_upload(client, NAME)


def test_an_upload_is_finished_by_whoever_began_it_after_the_token_expired(
    registry: Registry, content: bytes
) -> None:
    location = start(registry)
    half = len(content) // 2
    digest = digest_of(content)
    with httpx.Client(base_url=registry.url, headers=token(lives=EXPIRED)) as late:
        first = late.patch(location, content=content[:half])
        status = late.get(location)
        second = late.patch(location, content=content[half:])
        done = late.put(wire.with_query(location, digest=digest))
        pull = late.get(f"/v2/{NAME}/blobs/{digest}")
    with httpx.Client(base_url=registry.url, headers=token(lives=VALID)) as renewed:
        back = renewed.get(f"/v2/{NAME}/blobs/{digest}")

    assert [first.status_code, status.status_code, second.status_code] == [202, 204, 202]
    assert done.status_code == 201, done.text
    assert pull.status_code == 401
    assert back.content == content


def test_a_token_that_expires_between_two_requests_of_an_upload_is_no_obstacle(
    registry: Registry, content: bytes
) -> None:
    """One and the same token, as a client has it that asked for one before a long push."""
    headers = token(lives=LAST_MOMENT)
    with httpx.Client(base_url=registry.url, headers=headers) as client:
        location = wire.start_upload(client, NAME)
        time.sleep(2)
        assert client.get("/v2/").status_code == 401
        assert client.patch(location, content=content).status_code == 202
        wire.finish_upload(client, location, digest_of(content))


@pytest.mark.parametrize(
    "headers",
    [
        lambda: token("mallory", lives=EXPIRED),
        lambda: token("mallory", lives=VALID, name="team/other"),
        lambda: token(lives=EXPIRED, name="team/other"),
        lambda: token(lives=EXPIRED, actions="pull"),
        dict,
    ],
    ids=[
        "another subject's, expired",
        "another subject's for another repository",
        "expired, for another repository",
        "expired, for pulling only",
        "none",
    ],
)
def test_an_upload_of_somebody_else_stays_closed(
    registry: Registry, headers: Callable[[], dict[str, str]], content: bytes
) -> None:
    location = start(registry)
    with httpx.Client(base_url=registry.url, headers=headers()) as other:
        answers = [
            other.get(location),
            other.patch(location, content=content),
            other.put(wire.with_query(location, digest=digest_of(content)), content=content),
            other.delete(location),
        ]
    with httpx.Client(base_url=registry.url, headers=token(lives=VALID)) as owner:
        status = owner.get(location)

    assert [answer.status_code for answer in answers] == [401] * 4
    for answer in answers:
        assert f'service="{SERVICE}"' in answer.headers["WWW-Authenticate"]
        assert f'scope="repository:{NAME}:pull,push"' in answer.headers["WWW-Authenticate"]
    assert status.headers["Range"] == "0-0"


def test_an_upload_is_found_in_its_own_repository_only(registry: Registry) -> None:
    """The owner, past the end of a token that is for another repository too."""
    location = start(registry)
    elsewhere = location.replace(NAME, "team/other")
    headers = token(lives=EXPIRED, name="team/other")

    answer = httpx.patch(f"{registry.url}{elsewhere}", content=b"x", headers=headers)

    assert answer.status_code == 401


def test_a_new_upload_and_the_manifest_need_a_token_that_is_valid(registry: Registry) -> None:
    config = b"{}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config, CONFIG),
        "layers": [],
    }
    with httpx.Client(base_url=registry.url, headers=token(lives=VALID)) as client:
        wire.push_blob(client, NAME, config)
    with httpx.Client(base_url=registry.url, headers=token(lives=EXPIRED)) as late:
        refused = late.put(
            f"/v2/{NAME}/manifests/latest",
            content=json_bytes(manifest),
            headers={"Content-Type": MANIFEST},
        )
        new = late.post(f"/v2/{NAME}/blobs/uploads/")
    with httpx.Client(base_url=registry.url, headers=token(lives=VALID)) as client:
        wire.push_manifest(client, NAME, manifest, "latest")

    for answer in (refused, new):
        assert answer.status_code == 401
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer realm="https://auth.example/token"')
        assert f'scope="repository:{NAME}:pull,push"' in challenge
        assert 'error="invalid_token"' in challenge
