"""Byte ranges and conditional requests (RFC 9110 sections 13 and 14), upload ranges (OCI)."""

import re
from dataclasses import dataclass
from typing import Final

from longshore.oci.errors import RangeInvalid

_RANGE: Final = re.compile(r"\s*(\d{0,19})\s*-\s*(\d{0,19})\s*")
_UPLOAD_RANGE: Final = re.compile(r"(?:bytes[ =])?(\d{1,19})-(\d{1,19})(?:/(?:\d+|\*))?")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """``length`` bytes from ``start``, inside an object of ``size`` bytes."""

    start: int
    length: int
    size: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that ``header`` asks of ``size`` bytes; None to send everything.

    Closed (``bytes=0-9``), open-ended (``bytes=10-``) and suffix (``bytes=-10``) forms. A unit we
    do not know, several ranges, or a header that does not parse is ignored, as RFC 9110 14.2 allows.
    Raises RangeInvalid (416) when the range lies outside, or ends before it begins.
    """
    if header is None:
        return None
    unit, _, spec = header.partition("=")
    match = _RANGE.fullmatch(spec)
    if unit.strip().lower() != "bytes" or not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        start, end = size - length, size - 1
    else:
        start = int(first)
        end = min(int(last), size - 1) if last else size - 1
    if start >= size or end < start:
        raise RangeInvalid(
            f"Range {header[:60]!r} lies outside the {size} bytes there are",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return ByteRange(start, end - start + 1, size)


def parse_upload_range(header: str) -> tuple[int, int]:
    """First and last byte of a chunk, inclusive (OCI: ``Content-Range: 0-1023``). Raises RangeInvalid."""
    match = _UPLOAD_RANGE.fullmatch(header.strip())
    if not match or int(match[2]) < int(match[1]):
        raise RangeInvalid(
            f"Content-Range {header[:60]!r} is not FIRST-LAST, the chunk's first and last byte"
        )
    return int(match[1]), int(match[2])


def matches_etag(header: str | None, etag: str) -> bool:
    """Whether If-Match/If-None-Match names ``etag``; values may be quoted, weak, bare, or ``*``."""
    if header is None:
        return False
    if header.strip() == "*":
        return True
    return any(
        candidate.strip().removeprefix("W/").strip('"') == etag for candidate in header.split(",")
    )
