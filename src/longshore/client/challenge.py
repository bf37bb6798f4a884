"""`WWW-Authenticate`: what a registry asks for (RFC 9110 section 11.6.1, RFC 6750 section 3)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 RFC 9110's word for a word
_PARAMETER = re.compile(rf"\s*({_TOKEN})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|({_TOKEN}[/:=]*))\s*")
_SCHEME = re.compile(rf"\s*({_TOKEN})(?:\s+|\s*(?=,)|\s*$)(?!\s*=)")


@dataclass(frozen=True)
class Challenge:
    """One way to authenticate: its scheme and its parameters, both in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes a Bearer challenge names; one header may hold several."""
        return frozenset(self.parameters.get("scope", "").split())


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge that can be understood; what cannot be is left out."""
    return [challenge for header in headers for challenge in _challenges(header)]


def _challenges(header: str) -> Iterator[Challenge]:
    position = 0
    while scheme := _SCHEME.match(header, position):
        position = scheme.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            name, quoted, plain = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            parameters.setdefault(name.lower(), value)
            position = parameter.end()
            if header[position : position + 1] != ",":
                break
            position += 1
        yield Challenge(scheme[1].lower(), parameters)
        position = _after_comma(header, position)


def _after_comma(header: str, position: int) -> int:
    while header[position : position + 1] in (" ", ",") and position < len(header):
        position += 1
    return position
