"""Lists that come in pages: `tags/list` and `_catalog`, followed by their Link headers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import orjson

from longshore.client.errors import ProtocolViolation
from longshore.client.transport import Transport
from longshore.client.wire import Ask, Reply

PAGE = 1000


async def pages(
    transport: Transport, path: str, key: str, scopes: frozenset[str]
) -> AsyncIterator[str]:
    """Every entry of a list, page by page."""
    async for reply in linked(transport, Ask("GET", f"{path}?n={PAGE}", scopes=scopes)):
        for entry in _entries(transport, reply, key):
            yield entry


async def linked(transport: Transport, first: Ask) -> AsyncIterator[Reply]:
    """An answer and those its Link headers lead to; an address that comes twice ends it."""
    ask: Ask | None = first
    seen: set[httpx.URL] = set()
    while ask is not None:
        reply = await transport.call(ask)
        yield reply
        seen.add(reply.url)
        following = _next_page(transport, reply)
        ask = replace(first, url=following) if following and following not in seen else None


def _next_page(transport: Transport, reply: Reply) -> httpx.URL | None:
    """Where the next page is (RFC 8288, `rel="next"`), or None after the last."""
    if not reply.headers.get("Link"):
        return None
    response = httpx.Response(reply.status, headers=reply.headers)
    link = response.links.get("next", {}).get("url")
    return transport.resolve(reply.url, link) if link else None


def _entries(transport: Transport, reply: Reply, key: str) -> list[str]:
    try:
        document: Any = orjson.loads(reply.body)
        entries = document.get(key) or []
    except (ValueError, AttributeError):
        entries = None
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ProtocolViolation(f"{transport.registry} answered {reply.url.path} with no list")
    return entries
