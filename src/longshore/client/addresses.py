"""Registries by name: which host answers for it, and which other hosts belong to it."""

import functools
import ipaddress
import re
from collections.abc import Collection
from typing import Final

import httpx

from longshore.client.errors import LocationInvalid
from longshore.oci.reference import DOCKER_HUB

#: Docker Hub's images are named after docker.io, but another host serves them.
DOCKER_HUB_API: Final = "registry-1.docker.io"

_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)


def registry_name(text: str) -> str:
    """`host[:port]` in lower case, from what a person typed: a scheme and a path are dropped.

    Raises LocationInvalid for anything that is not a host and a port.
    """
    _, scheme, rest = text.partition("://")
    name = (rest if scheme else text).partition("/")[0].lower()
    found = _HOST.fullmatch(name)
    if not found or int(found["port"] or 1) not in range(1, 65536):
        raise LocationInvalid(f"{text!r} is not a registry: expected host or host:port")
    if name in ("index.docker.io", DOCKER_HUB_API):
        return DOCKER_HUB
    return name


def looks_like_registry(text: str) -> bool:
    """Whether a word without a slash is a registry, by docker's rule (a dot, a port, localhost)."""
    host, colon, port = text.partition(":")
    return "/" not in text and (
        "." in host or host == "localhost" or (bool(colon) and _digits(port))
    )


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def api_host(registry: str) -> str:
    """The host that serves the API of a registry."""
    return DOCKER_HUB_API if registry == DOCKER_HUB else registry


def is_loopback(host: str) -> bool:
    """Whether a host (without port) is this machine, so that plain HTTP does not leave it."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def realm_objection(registry: httpx.URL, realm: httpx.URL, trusted: Collection[str]) -> str | None:
    """Why credentials for a registry must not be sent to a token server, or None if they may.

    A registry chooses its realm, so a hostile or compromised one could name any host and collect
    passwords (CVE-2026-33540). Allowed are: the same host, another name of this machine, a host
    of the same registrable domain, and the hosts in `trusted` (host or host:port). TLS is never
    given up on the way.
    """
    if realm.scheme not in ("http", "https"):
        return f"it is not an http or https address but {realm.scheme!r}"
    if registry.scheme == "https" and realm.scheme != "https":
        return "it is not encrypted, while the registry is"
    authority = realm.netloc.decode("ascii")
    if realm.host == registry.host or realm.host in trusted or authority in trusted:
        return None
    if is_loopback(realm.host) and is_loopback(registry.host):
        return None
    if _same_domain(realm.host, registry.host):
        return None
    return f"{realm.host} is neither the registry's host nor of the same domain"


def _same_domain(one: str, other: str) -> bool:
    domain = _registrable_domain(one)
    return domain is not None and domain == _registrable_domain(other)


@functools.lru_cache(maxsize=256)
def _registrable_domain(host: str) -> str | None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        domain: str | None = _public_suffixes().privatesuffix(host)
        return domain
    return None


@functools.cache
def _public_suffixes():  # type: ignore[no-untyped-def]
    # Reading the list takes a tenth of a second, and most registries are their own realm.
    from publicsuffixlist import PublicSuffixList

    # A name under no known top-level domain is a suffix by itself: registry.corp and auth.corp
    # share nothing that proves a common owner.
    return PublicSuffixList(accept_unknown=False)
