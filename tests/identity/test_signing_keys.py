"""The keys of the registry's own tokens: made, published, replaced while it serves, on both databases."""

import time

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from longshore.access.key_pairs import Algorithm
from longshore.access.keys import key_ids
from longshore.db.encryption import Encryption
from longshore.identity import signing, store
from longshore.identity.settings import TokenServiceSettings
from longshore.identity.signing import LEAD, RETENTION, make_key
from longshore.identity.token_task import TokenUpkeep
from longshore.telemetry import clock
from tests.identity import tokens
from tests.identity.parts import ENCRYPTION, Node, node, populated
from tests.services.in_process import Cluster

pytestmark = pytest.mark.anyio

SCOPE = "repository:public/app:pull"
MANIFEST = "/v2/public/app/manifests/latest"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes look at the keys whenever they need them."""
    monkeypatch.setattr(signing, "FRESH", 0.0)
    monkeypatch.setattr(signing, "SEARCH", 0.0)


async def rotate(node: Node, lead: float = 0.0, algorithm: Algorithm = "ES256") -> str:
    made = make_key(algorithm, ENCRYPTION, time.time(), lead)
    await node.change(store.add_signing_key, key=made)
    return made.kid


async def kids(node: Node) -> list[str]:
    return [key.kid for key in await node.people.read(store.list_signing_keys)]


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_anybody_can_verify_a_token_with_the_published_keys(
    cluster: Cluster, algorithm: Algorithm
) -> None:
    async with populated(cluster, TokenServiceSettings(algorithm=algorithm)) as one:
        text = await tokens.token(one, "guest", SCOPE)
        for path in ("/.well-known/jwks.json", "/v2/token/keys"):
            response = await one.ask("", "GET", path)
            assert response.status_code == 200
            assert response.headers["cache-control"] == "public, max-age=300"
            key_set = response.json()
            found = jwt.decode(text, KeySet.import_key_set(key_set), algorithms=[algorithm])
            assert found.claims["sub"] == "guest"
            assert found.claims["access"] == [
                {"type": "repository", "name": "public/app", "actions": ["pull"]}
            ]
            (key,) = key_set["keys"]
            assert (key["use"], key["alg"], key["kid"]) == ("sig", algorithm, found.header["kid"])
            assert not {"d", "p", "q", "k"} & key.keys()


async def test_a_key_is_called_by_its_thumbprint_and_by_its_libtrust_id(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        text = await tokens.token(one, "guest", SCOPE)
        key, kid, algorithm = await tokens.private_key(one)
        names = key_ids(key)

        assert tokens.header(text)["kid"] == kid == key.thumbprint()
        assert len(names) == 2
        for name in names:
            signed = tokens.sign(key, {"alg": algorithm, "kid": name}, tokens.claims(text))
            assert (await tokens.use(one, signed, "GET", MANIFEST)).status_code == 200


async def test_every_process_has_the_same_key_after_the_first_start(cluster: Cluster) -> None:
    async with populated(cluster) as one, node(cluster) as two:
        text = await tokens.token(one, "guest", SCOPE)
        assert (await tokens.use(two, text, "GET", MANIFEST)).status_code == 200
        assert len(await kids(one)) == 1


async def test_the_private_key_is_encrypted(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        (stored,) = await one.people.read(store.list_signing_keys)
        key, _, _ = await tokens.private_key(one)
        assert str(key.as_dict(private=True)["d"]) not in stored.private_key
        assert "d" not in stored.public_key


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_goes_on_verifying(
    cluster: Cluster, impatient: None
) -> None:
    async with populated(cluster) as one, node(cluster) as two:
        before = await tokens.token(one, "guest", SCOPE)
        coming = await rotate(one, LEAD)
        published = (await two.ask("", "GET", "/.well-known/jwks.json")).json()["keys"]
        assert coming in {key["kid"] for key in published}
        assert tokens.header(await tokens.token(two, "guest", SCOPE)) == tokens.header(before)

        now = await rotate(one)
        after = await tokens.token(one, "guest", SCOPE)
        assert tokens.header(after)["kid"] == now
        for text in (before, after):
            assert (await tokens.use(two, text, "GET", MANIFEST)).status_code == 200


async def test_a_process_looks_for_a_key_that_it_does_not_know_but_not_all_the_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "SEARCH", 3600.0)
    async with populated(cluster) as one:
        await rotate(one)
        async with node(cluster) as two:
            text = await tokens.token(two, "guest", SCOPE)
        assert (await tokens.use(one, text, "GET", MANIFEST)).status_code == 401  # just looked
        monkeypatch.setattr(signing, "SEARCH", 0.0)
        assert (await tokens.use(one, text, "GET", MANIFEST)).status_code == 200


async def test_what_a_removed_key_signed_is_refused_also_if_it_was_verified_before(
    cluster: Cluster, impatient: None
) -> None:
    async with populated(cluster) as one:
        text = await tokens.token(one, "guest", SCOPE)
        assert (await tokens.use(one, text, "GET", MANIFEST)).status_code == 200
        await one.change(store.remove_signing_keys, kids=await kids(one))
        await rotate(one)
        response = await tokens.use(one, text, "GET", MANIFEST)
        assert response.status_code == 401
        assert "not (or no longer) one of this registry's" in response.text
        assert 'error="invalid_token"' in response.headers["www-authenticate"]


async def test_a_key_that_cannot_be_decrypted_any_more_is_replaced_at_the_start(
    cluster: Cluster,
) -> None:
    async with populated(cluster) as one:
        before = await tokens.token(one, "guest", SCOPE)
    other = Encryption(["another http.secret"])
    async with node(cluster, encryption=other) as two, node(cluster, encryption=other) as three:
        after = await tokens.token(two, "guest", SCOPE)
        assert tokens.header(after)["kid"] != tokens.header(before)["kid"]
        for text in (before, after):
            assert (await tokens.use(three, text, "GET", MANIFEST)).status_code == 200
        assert len(await kids(two)) == 2


async def test_another_algorithm_takes_over_after_every_process_knows_of_it(
    cluster: Cluster,
) -> None:
    async with populated(cluster) as one:
        await tokens.token(one, "guest", SCOPE)
    async with node(cluster, tokens=TokenServiceSettings(algorithm="RS256")) as two:
        assert tokens.header(await tokens.token(two, "guest", SCOPE))["alg"] == "ES256"
        keys = await two.people.read(store.list_signing_keys)
        assert [key.algorithm for key in keys] == ["ES256", "RS256"]
        assert keys[1].signs_from == pytest.approx(time.time() + LEAD, abs=60)


async def test_the_job_replaces_keys_in_time_and_forgets_what_has_ended(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with populated(cluster) as one:
        (first,) = await kids(one)
        moment = time.time()
        monkeypatch.setattr(clock, "timestamp", lambda: moment)
        upkeep = TokenUpkeep(one.people, ENCRYPTION, "ES256", key_lifetime=1000.0)

        await upkeep.run(_Context())  # type: ignore[arg-type]
        assert await kids(one) == [first]
        moment += 200
        await upkeep.run(_Context())  # type: ignore[arg-type]
        await upkeep.run(_Context())  # type: ignore[arg-type]
        both = await kids(one)
        assert len(both) == 2
        moment += RETENTION
        said = _Context()
        await TokenUpkeep(one.people, ENCRYPTION).run(said)  # type: ignore[arg-type]
        assert await kids(one) == both
        moment += LEAD + 1
        await TokenUpkeep(one.people, ENCRYPTION).run(said)  # type: ignore[arg-type]
        assert await kids(one) == both[1:]
        assert said.lines == [f"the key {first} was removed: everything that it signed has ended"]


class _Context:
    """What a job is given, as far as this one looks."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def log(self, line: str) -> None:
        self.lines.append(line)


async def test_plain_passwords_have_no_published_keys(cluster: Cluster) -> None:
    async with cluster.node() as registry:
        assert (await registry.client.get("/.well-known/jwks.json")).status_code == 404
        assert (await registry.client.get("/service/token")).status_code == 404
