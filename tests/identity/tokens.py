"""Tokens of a registry in process: asked for, taken apart, signed by hand."""

import base64
import json
from typing import Any

import httpx
from joserfc import jws
from joserfc.jwk import ECKey, Key, RSAKey

from longshore.identity import store
from tests.identity.parts import ENCRYPTION, PASSWORD, Node


async def fetch(
    node: Node, user: str, *scopes: str, path: str = "/v2/token", **more: str
) -> httpx.Response:
    params = {"service": "longshore", "scope": list(scopes), **more}
    return await node.ask(user, "GET", path, params=params)


async def post(node: Node, path: str = "/v2/token", **fields: str) -> httpx.Response:
    return await node.ask("", "POST", path, data={"service": "longshore", **fields})


async def token(node: Node, user: str, *scopes: str) -> str:
    response = await fetch(node, user, *scopes)
    assert response.status_code == 200, response.text
    text: str = response.json()["token"]
    return text


async def log_in(node: Node, user: str, password: str = PASSWORD, **more: str) -> str:
    """The refresh token that `docker login` keeps."""
    headers = {"access_type": "offline", "client_id": "docker", **more}
    fields = {"grant_type": "password", "username": user, "password": password, **headers}
    response = await post(node, **fields)
    assert response.status_code == 200, response.text
    text: str = response.json()["refresh_token"]
    return text


async def refresh(node: Node, text: str, *scopes: str, **more: str) -> httpx.Response:
    fields = {"grant_type": "refresh_token", "refresh_token": text, "client_id": "docker", **more}
    return await post(node, scope=" ".join(scopes), **fields)


async def use(node: Node, text: str, method: str, path: str, **more: Any) -> httpx.Response:
    return await node.ask("", method, path, headers={"Authorization": f"Bearer {text}"}, **more)


async def private_key(node: Node) -> tuple[Key, str, str]:
    """The key that signs, its id and its algorithm: what no attacker has."""
    stored = (await node.people.read(store.list_signing_keys))[-1]
    document = json.loads(ENCRYPTION.decrypt(stored.private_key))
    kind = RSAKey if document["kty"] == "RSA" else ECKey
    return kind.import_key(document), stored.kid, stored.algorithm


def header(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_decoded(text, 0))
    return found


def claims(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_decoded(text, 1))
    return found


def _decoded(text: str, part: int) -> bytes:
    return base64.urlsafe_b64decode(text.split(".")[part] + "==")


class _Anything(jws.JWSRegistry):
    """Signs whatever an attacker writes into a header."""

    def check_header(self, header: Any) -> None:
        pass


def sign(key: Key, head: dict[str, Any], body: dict[str, Any]) -> str:
    """A token signed by hand, with any header."""
    registry = _Anything(algorithms=[head["alg"]])
    return jws.serialize_compact(head, json.dumps(body).encode(), key, registry=registry)
