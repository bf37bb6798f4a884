"""What Harbor keeps as a project's metadata: a fixed set of names, all of whose values are text."""

from collections.abc import Callable, Mapping
from typing import Final

from longshore.api.errors import BadRequest, NotFound
from longshore.identity.model import Project

_TRUTH: Final = ("true", "false")
_SEVERITIES: Final = ("none", "low", "medium", "high", "critical")


def _truth(value: str) -> str:
    if value.lower() not in _TRUTH:
        raise ValueError("true or false")
    return value.lower()


def _severity(value: str) -> str:
    if value.lower() not in _SEVERITIES:
        raise ValueError(f"one of {', '.join(_SEVERITIES)}")
    return value.lower()


def _number(value: str) -> str:
    if not value.removeprefix("-").isascii() or not value.removeprefix("-").isdigit():
        raise ValueError("a whole number")
    if len(value) > 12:
        raise ValueError("a number of at most 12 digits")
    return value


def _connections(value: str) -> str:
    if int(_number(value)) < 1 and value != "-1":
        raise ValueError("-1 or a number of connections")
    return value


_CHECKS: Final[Mapping[str, Callable[[str], str]]] = {
    "public": _truth,
    "enable_content_trust": _truth,
    "enable_content_trust_cosign": _truth,
    "prevent_vul": _truth,
    "severity": _severity,
    "auto_scan": _truth,
    "auto_sbom_generation": _truth,
    "reuse_sys_cve_allowlist": _truth,
    "proxy_speed_kb": _number,
    "max_upstream_conn": _connections,
    "proxy_cache_local_on_not_found": _truth,
    "proxy_referrer_api": _truth,
}


def checked(given: Mapping[str, str]) -> tuple[bool | None, dict[str, str]]:
    """``public``, if it is given, and everything else, in the form in which it is kept. Raises BadRequest
    for names and values that there are not."""
    found = {}
    for name, value in given.items():
        if name == "retention_id" and not value:
            continue
        check = _CHECKS.get(name)
        if check is None:
            raise BadRequest(
                f"{name[:100]!r} is nothing that can be set here: {', '.join(_CHECKS)}"
            )
        try:
            found[name] = check(value)
        except ValueError as error:
            raise BadRequest(f"{name} is {value[:100]!r}; it should be {error}") from error
    public = found.pop("public", None)
    return None if public is None else public == "true", found


def readable(project: Project) -> dict[str, str]:
    """All that is set, as clients see it."""
    return {"public": "true" if project.public else "false", **(project.metadata or {})}


def metadata_of(project: Project, name: str) -> str:
    """One thing that is set. Raises NotFound."""
    found = readable(project).get(name)
    if found is None:
        raise NotFound(f"metadata {name[:100]!r} is not set")
    return found
