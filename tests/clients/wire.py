"""The few requests of a push, spelled out, for tests that stop or vary one of them."""

import socket
from typing import Any

import httpx

from tests.services.images import Descriptor, descriptor, digest_of, json_bytes
from tests.services.registries import Registry


def start_upload(client: httpx.Client, repository: str, **query: str) -> str:
    """Open an upload session and return its location."""
    answer = client.post(f"/v2/{repository}/blobs/uploads/", params=query)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    location: str = answer.headers["Location"]
    return location


def finish_upload(client: httpx.Client, location: str, digest: str) -> httpx.Response:
    """Close an upload session; the bytes must have this digest."""
    answer = client.put(with_query(location, digest=digest))
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return answer


def with_query(location: str, **query: str) -> httpx.URL:
    """A location the registry gave, with more in its query."""
    return httpx.URL(location).copy_merge_params(query)


def push_blob(client: httpx.Client, repository: str, content: bytes) -> str:
    """Push a blob in one piece and return its digest."""
    digest = digest_of(content)
    location = start_upload(client, repository)
    answer = client.put(with_query(location, digest=digest), content=content)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    return digest


def push_manifest(
    client: httpx.Client, repository: str, manifest: dict[str, Any], reference: str = ""
) -> Descriptor:
    """Push a manifest by tag, or by its digest; return its descriptor."""
    content, media_type = json_bytes(manifest), str(manifest["mediaType"])
    described = descriptor(content, media_type)
    answer = client.put(
        f"/v2/{repository}/manifests/{reference or described['digest']}",
        content=content,
        headers={"Content-Type": media_type},
    )
    assert answer.status_code == httpx.codes.CREATED, answer.text
    assert answer.headers["Docker-Content-Digest"] == described["digest"]
    return described


def blob_descriptor(
    client: httpx.Client, repository: str, content: bytes, media_type: str, **more: Any
) -> Descriptor:
    """Push a blob and return the descriptor a manifest needs."""
    push_blob(client, repository, content)
    return descriptor(content, media_type, **more)


def send_and_break_off(registry: Registry, location: str, *, announced: int, sent: bytes) -> None:
    """Start a PATCH of `announced` bytes, send these, and hang up as a lost network would."""
    url = httpx.URL(registry.url).join(location)
    fields = {
        "Host": registry.host,
        "Content-Type": "application/octet-stream",
        "Content-Length": str(announced),
        **registry.authorization(),
    }
    lines = [f"PATCH {url.raw_path.decode()} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
    message = "\r\n".join([*lines, "", ""]).encode() + sent
    with socket.create_connection((url.host, url.port or 0)) as connection:
        if registry.authority is None:
            connection.sendall(message)
            return
        context = registry.authority.client_context()
        with context.wrap_socket(connection, server_hostname=url.host) as secured:
            secured.sendall(message)
