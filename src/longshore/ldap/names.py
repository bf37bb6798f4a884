"""Distinguished names: RFC 4514, as far as telling whether two are the same takes."""

import re
from typing import Final

_HEX: Final = re.compile(r"(?:\\[0-9a-fA-F]{2})+")
_MUST_BE_ESCAPED: Final = frozenset(',+"\\<>;=')


def normalized(dn: str) -> str:
    """The same text for the same name: case, and spaces around separators, do not matter, nor which
    of the ways to escape a character was taken."""
    return ",".join(_component(part) for part in _split(dn, ",")).casefold()


def under(dn: str, base: str) -> bool:
    """Whether ``dn`` is ``base`` or below it."""
    return f",{normalized(dn)}".endswith(f",{normalized(base)}")


def relative(dn: str) -> str:
    """The value of the first component: ``developers`` of ``cn=developers,ou=groups,dc=lan``."""
    first = _split(dn, ",")[0]
    _, _, value = first.partition("=")
    return _unescaped(value.strip())


def domain(dn: str) -> str:
    """The DNS name that the ``dc`` components spell, lower case: ``ad.test``; empty without any."""
    found = [
        _unescaped(value.strip())
        for kind, _, value in (part.partition("=") for part in _split(dn, ","))
        if kind.strip().lower() == "dc"
    ]
    return ".".join(found).lower()


def _component(text: str) -> str:
    parts = []
    for part in _split(text, "+"):
        kind, equals, value = part.partition("=")
        spaced = " ".join(_unescaped(value.strip()).split())
        escaped = "".join(f"\\{c}" if c in _MUST_BE_ESCAPED else c for c in spaced)
        parts.append(f"{kind.strip()}{equals}{escaped}")
    return "+".join(sorted(parts))


def _split(text: str, separator: str) -> list[str]:
    """At each ``separator`` without a backslash before it."""
    parts, current, escaped = [], "", False
    for character in text:
        if character == separator and not escaped:
            parts.append(current)
            current = ""
        else:
            current += character
        escaped = character == "\\" and not escaped
    return [*parts, current]


def _unescaped(value: str) -> str:
    def decoded(found: re.Match[str]) -> str:
        return bytes.fromhex(found[0].replace("\\", "")).decode(errors="replace")

    return re.sub(r"\\(.)", r"\1", _HEX.sub(decoded, value))
