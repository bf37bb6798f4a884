"""Which addresses belong to AWS, from the list that Amazon publishes (ip-ranges.json)."""

import asyncio
import http.client
import ipaddress
import json
import logging
import time
import urllib.request
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger(__name__)

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Seconds to wait for the list, and bytes that it may have (it has about two million).
_PATIENCE: Final = 15.0
_LARGEST: Final = 32 << 20
#: After a failure it is tried again this soon (seconds).
_RETRY: Final = 60.0


class AWSNetworks:
    """``source`` is a URL or a path; ``regions`` (empty: all) are names such as ``us-east-1``. The
    list is read in the background, when it is asked for and older than ``update`` seconds; until it
    was read once no address belongs to AWS."""

    def __init__(self, source: str, regions: Collection[str] = (), update: float = 43200.0) -> None:
        self._source = source
        self._regions = frozenset(region.lower() for region in regions)
        self._update = update
        self._due = 0.0
        self._reading: asyncio.Task[None] | None = None
        # By the length of the prefix, so that a look-up costs one set per length.
        self._prefixes: dict[tuple[int, int], set[int]] = {}

    def holds(self, client: str) -> bool:
        """Whether the address is in one of the networks."""
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        value, bits = int(address), address.max_prefixlen
        return any(
            value >> (bits - length) in prefixes
            for (version, length), prefixes in self._prefixes.items()
            if version == address.version
        )

    def refresh(self) -> None:
        """Begin to read the list when it is due; returns at once."""
        if time.monotonic() >= self._due and self._reading is None:
            self._due = time.monotonic() + self._update
            self._reading = asyncio.create_task(self.read())

    async def read(self) -> None:
        """Read the list now. A failure is logged, and what was known stays."""
        try:
            networks = await asyncio.to_thread(self._networks)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            self._due = time.monotonic() + min(_RETRY, self._update)
            logger.warning("the list of AWS' networks (%s) cannot be read: %s", self._source, error)
        else:
            prefixes: dict[tuple[int, int], set[int]] = {}
            for network in networks:
                shift = network.max_prefixlen - network.prefixlen
                number = int(network.network_address) >> shift
                prefixes.setdefault((network.version, network.prefixlen), set()).add(number)
            self._prefixes = prefixes
        finally:
            self._reading = None

    def _networks(self) -> list[_Network]:
        document: dict[str, Any] = json.loads(self._content())
        found: list[_Network] = []
        for list_name, prefix in (("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix")):
            found.extend(
                ipaddress.ip_network(entry[prefix])
                for entry in document[list_name]
                if not self._regions or entry["region"].lower() in self._regions
            )
        return found

    def _content(self) -> bytes:
        if self._source.startswith(("http://", "https://")):
            with closing(urllib.request.urlopen(self._source, timeout=_PATIENCE)) as reply:  # noqa: S310 - http, see above
                content: bytes = reply.read(_LARGEST + 1)
        else:
            with Path(self._source).open("rb") as file:
                content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError("it is larger than such a list can be")
        return content
