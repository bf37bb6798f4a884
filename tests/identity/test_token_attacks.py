"""Every way we know to get more out of a token than it was given for."""

import hmac
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, OctKey, RSAKey

from longshore.access.key_pairs import Algorithm
from longshore.access.keys import key_ids
from longshore.identity import store
from longshore.identity.model import Role
from longshore.identity.settings import TokenServiceSettings
from tests.access.tokenserver import segment
from tests.identity import tokens
from tests.identity.parts import HASH, IMAGE, Node, populated
from tests.services.in_process import Cluster

pytestmark = pytest.mark.anyio

PULL = "repository:private/app:pull"
MANIFEST = "/v2/private/app/manifests/latest"


async def _forgeries(node: Node, good: str) -> dict[str, str]:
    """What an attacker may send who has seen a good token and the published keys."""
    (published,) = (await node.ask("", "GET", "/.well-known/jwks.json")).json()["keys"]
    key, kid, algorithm = await tokens.private_key(node)
    other: Any = RSAKey.generate_key(2048) if algorithm == "RS256" else ECKey.generate_key("P-256")
    curve = ECKey.generate_key("P-256") if algorithm == "RS256" else RSAKey.generate_key(2048)
    strange = "ES256" if algorithm == "RS256" else "RS256"
    head, body, signature = good.split(".")
    claims = tokens.claims(good)
    found = {}
    for name in ("none", "None", "nOnE", ""):
        found[f"alg {name!r}"] = f"{segment({'alg': name, 'kid': kid})}.{body}."
        found[f"alg {name!r} signed"] = f"{segment({'alg': name, 'kid': kid})}.{body}.{signature}"
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public: Any = key.public_key
    secrets = {
        "PEM": public.public_bytes(serialization.Encoding.PEM, spki),
        "DER": public.public_bytes(serialization.Encoding.DER, spki),
        "x": str(published.get("x", published.get("n"))).encode(),
        "kid": kid.encode(),
    }
    for name, secret in secrets.items():
        signed = f"{segment({'alg': 'HS256', 'kid': kid})}.{body}"
        mac = hmac.digest(secret, signed.encode(), "sha256")
        found[f"HS256 with the public {name}"] = f"{signed}.{segment(mac)}"
    own = other.as_dict(private=False)
    url = "https://attacker.example/keys.json"
    for name, more in {
        "its kid": {"kid": kid},
        "no kid": {},
        "jwk": {"jwk": own},
        "jwk and kid": {"jwk": own, "kid": kid},
        "jwk that says our kid": {"jwk": {**own, "kid": kid}},
        "jku": {"jku": url},
        "jku and kid": {"jku": url, "kid": kid},
        "x5u": {"x5u": url, "kid": kid},
        "x5c": {"x5c": ["MIIB"], "kid": kid},
        "kid of a file": {"kid": "../../../../dev/null"},
        "kid of a query": {"kid": f"{kid}' OR '1'='1"},
        "kid as a list": {"kid": [kid]},
        "kid of the shared secret": {"kid": "longshore"},
        "crit": {"kid": kid, "crit": ["exp"]},
    }.items():
        found[f"another key, {name}"] = tokens.sign(other, {"alg": algorithm, **more}, claims)
    found["another kind of key"] = tokens.sign(curve, {"alg": strange, "kid": kid}, claims)
    found["a secret in jwk"] = tokens.sign(
        OctKey.import_key(b"x" * 32),
        {"alg": "HS256", "jwk": {"kty": "oct", "k": segment(b"x" * 32)}},
        claims,
    )
    wider = {**claims, "access": [{"type": "repository", "name": "private/app", "actions": ["*"]}]}
    found["changed claims"] = f"{head}.{segment(wider)}.{signature}"
    found["another user"] = f"{head}.{segment({**claims, 'sub': 'root'})}.{signature}"
    found["cut signature"] = good[:-6]
    found["empty signature"] = f"{head}.{body}."
    return found


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_token_that_the_registry_did_not_sign_opens_nothing(
    cluster: Cluster, algorithm: Algorithm
) -> None:
    async with populated(cluster, TokenServiceSettings(algorithm=algorithm)) as one:
        good = await tokens.token(one, "developer", PULL)
        for name, text in (await _forgeries(one, good)).items():
            # Public things, too: a wrong token is refused, not taken for none.
            for path in (MANIFEST, "/v2/public/app/manifests/latest", "/v2/", "/v2/_catalog"):
                response = await tokens.use(one, text, "GET", path)
                assert response.status_code == 401, (name, path)
                assert 'error="invalid_token"' in response.headers["www-authenticate"]
                assert text not in response.text
        assert (await tokens.use(one, good, "GET", MANIFEST)).status_code == 200


async def test_claims_are_checked_also_when_the_signature_is_ours(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        good = await tokens.token(one, "developer", PULL)
        key, kid, algorithm = await tokens.private_key(one)
        now, claims = int(time.time()), tokens.claims(good)
        changes: dict[str, Any] = {
            "wrong audience": {"aud": "other"},
            "no audience": {"aud": None},
            "wrong issuer": {"iss": "evil"},
            "expired": {"exp": now - 61},
            "no expiry": {"exp": None},
            "from the future": {"nbf": now + 3600},
            "issued in the future": {"iat": now + 3600},
            "another user's": {"sub": "maintainer"},
            "nobody's": {"sub": ""},
            "a user's who never was": {"sub": "nobody"},
            "no seal": {"longshore_seal": None},
            "empty seal": {"longshore_seal": ""},
        }
        for name, change in changes.items():
            changed = {k: v for k, v in {**claims, **change}.items() if v is not None}
            signed = tokens.sign(key, {"alg": algorithm, "kid": kid}, changed)
            response = await tokens.use(one, signed, "GET", MANIFEST)
            assert response.status_code == 401, name
        same = tokens.sign(key, {"alg": algorithm, "kid": kid}, claims)
        assert (await tokens.use(one, same, "GET", MANIFEST)).status_code == 200


async def test_a_token_opens_the_repository_and_the_actions_that_it_names(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        assert await one.push("root", "private/other") == 201
        text = await tokens.token(one, "maintainer", PULL)
        for method, path in (
            ("GET", "/v2/private/other/manifests/latest"),
            ("GET", "/v2/public/app/manifests/latest"),
            ("DELETE", MANIFEST),
            ("POST", "/v2/private/app/blobs/uploads/"),
            ("GET", "/v2/_catalog"),
        ):
            response = await tokens.use(one, text, method, path)
            assert response.status_code == 401, (method, path)
            assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


#: Who asks, for what, and what they may be given of it.
CRAFTED = [
    ("guest", "repository:public/app:pull,push repository:../b", "repository:public/app:pull"),
    (
        "guest",
        "repository:public/app:pull,push repository:../b:pull",
        "repository:public/app:pull",
    ),
    ("guest", "repository:private/app:*", "repository:private/app:pull"),
    ("guest", "repository(plugin):private/app:*", "repository:private/app:pull"),
    ("guest", "repository(:private/app:push", ""),
    ("guest", "repository:private/app:pull:push", ""),
    ("guest", "repository:private/app:PULL,Push, delete", ""),
    ("guest", "repository:private/app:push pull", ""),
    ("stranger", "repository:private/app:pull", ""),
    ("stranger", "repository:public/../private/app:pull", ""),
    ("stranger", "repository:./private/app:pull repository:/private/app:pull", ""),
    ("stranger", "repository:private//app:pull repository:private/app/:pull", ""),
    ("stranger", "repository:PRIVATE/app:pull repository:private%2Fapp:pull", ""),
    ("stranger", "repository:public/app\u0000private/app:pull", ""),
    ("stranger", "repository:\x00private/app:pull repository:\ud7ff/app:pull", ""),
    ("stranger", "repository:localhost:5000/private/app:pull", ""),
    ("stranger", "repository:*:pull repository:private/*:* repository:**:*", ""),
    ("stranger", "registry:*:* registry:private/app:pull", ""),
    ("stranger", "Repository:private/app:pull repository :private/app:pull", ""),
    ("", "repository:private/app:pull repository:public/app:push", ""),
]


async def test_crafted_scopes_get_no_more_than_the_user_has(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        for user, scope, given in CRAFTED:
            body = (await tokens.fetch(one, user, scope)).json()
            assert body["scope"] == given, scope
            text, reads = body["token"], "private" in given
            assert (await tokens.use(one, text, "GET", MANIFEST)).is_success == reads, scope
            for name in ("private", "public"):
                begin = await tokens.use(one, text, "POST", f"/v2/{name}/app/blobs/uploads/")
                assert begin.status_code in (401, 403), scope


async def test_a_token_mounts_nothing_from_where_it_may_not_read(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        await one.change(store.add_project, name="mine", now=1.0)
        await one.change(store.set_member, project="mine", user="stranger", role=Role.PROJECT_ADMIN)
        (blob, *_) = IMAGE.blobs
        mount = f"/v2/mine/x/blobs/uploads/?mount={blob.digest}&from=private/app"
        push = "repository:mine/x:pull,push"
        for scope in (push, f"{push} {PULL}"):
            text = await tokens.token(one, "stranger", scope)
            response = await tokens.use(one, text, "POST", mount)
            assert response.status_code == 202  # an upload begins; nothing was mounted
            assert (
                await tokens.use(one, text, "HEAD", f"/v2/mine/x/blobs/{blob.digest}")
            ).status_code == 404
        # Who may read there still has to have asked for it.
        await one.change(store.set_member, project="private", user="stranger", role=Role.GUEST)
        narrow = await tokens.token(one, "stranger", push)
        assert (await tokens.use(one, narrow, "POST", mount)).status_code == 202
        wide = await tokens.token(one, "stranger", f"{push} {PULL}")
        assert (await tokens.use(one, wide, "POST", mount)).status_code == 201


async def test_a_token_is_worth_no_more_than_the_rights_of_the_moment(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        text = await tokens.token(one, "developer", "repository:private/app:pull,push")
        assert (await tokens.use(one, text, "GET", MANIFEST)).status_code == 200
        await one.change(store.remove_member, project="private", user="developer")
        assert (await tokens.use(one, text, "GET", MANIFEST)).status_code in (403, 404)


async def test_a_later_user_or_project_of_the_same_name_gets_nothing_from_old_tokens(
    cluster: Cluster,
) -> None:
    async with populated(cluster) as one:
        pull = await tokens.token(one, "developer", PULL)
        await one.change(store.remove_user, name="developer")
        await one.change(store.add_user, name="developer", password_hash=HASH, now=1.0)
        await one.change(
            store.set_member, project="private", user="developer", role=Role.PROJECT_ADMIN
        )
        assert (await tokens.use(one, pull, "GET", MANIFEST)).status_code == 401

        await one.change(store.add_project, name="short", now=1.0)
        await one.change(store.set_member, project="short", user="guest", role=Role.DEVELOPER)
        text = await tokens.token(one, "guest", "repository:short/app:pull,push")
        begin = "/v2/short/app/blobs/uploads/"
        assert (await tokens.use(one, text, "POST", begin)).status_code == 202
        await one.change(store.remove_project, name="short")
        await one.change(store.add_project, name="short", now=2.0)
        assert (await tokens.use(one, text, "POST", begin)).status_code in (403, 404)


async def test_neither_kind_of_token_passes_for_the_other_or_for_a_password(
    cluster: Cluster,
) -> None:
    async with populated(cluster) as one:
        kept = await tokens.log_in(one, "developer")
        text = await tokens.token(one, "developer", PULL)
        assert (await tokens.use(one, kept, "GET", MANIFEST)).status_code == 401
        assert (await tokens.refresh(one, text)).status_code == 401
        for password in (kept, text):
            assert (await one.ask("developer", "GET", MANIFEST, password)).status_code == 401
        ids = key_ids((await tokens.private_key(one))[0])
        for name in ids:
            assert (await tokens.refresh(one, name)).status_code == 401


async def test_a_token_ends_and_yet_finishes_the_upload_that_its_user_began(
    cluster: Cluster,
) -> None:
    async with populated(cluster) as one:
        key, kid, algorithm = await tokens.private_key(one)
        push = "repository:private/app:pull,push"
        text = await tokens.token(one, "developer", push)
        other = await tokens.token(one, "maintainer", push)
        begun = await tokens.use(one, text, "POST", "/v2/private/app/blobs/uploads/")
        where = begun.headers["location"]

        def ended(good: str) -> str:
            claims = {**tokens.claims(good), "exp": int(time.time()) - 3600}
            return tokens.sign(key, {"alg": algorithm, "kid": kid}, claims)

        assert (await tokens.use(one, ended(text), "GET", MANIFEST)).status_code == 401
        refused = await tokens.use(one, ended(other), "PATCH", where, content=b"x")
        assert refused.status_code == 401
        response = await tokens.use(one, ended(text), "PATCH", where, content=b"bytes")
        assert response.status_code == 202
        # Rights are those of the moment, also then.
        await one.change(
            store.set_member, project="private", user="developer", role=Role.LIMITED_GUEST
        )
        late = await tokens.use(
            one, ended(text), "PATCH", response.headers["location"], content=b"more"
        )
        assert late.status_code == 403
