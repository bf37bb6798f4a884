"""``n`` and ``last`` with a Link header (OCI Distribution 1.1, "Listing Tags")."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from longshore.oci.errors import PaginationNumberInvalid


@dataclass(frozen=True, slots=True)
class Page:
    """At most ``size`` entries (None: all of them) that come after ``last``."""

    size: int | None
    last: str

    @classmethod
    def parse(cls, query: Mapping[str, str], *, default: int | None, largest: int) -> "Page":
        """``n`` above ``largest`` is clamped, as old scripts ask for ``n=100000``.

        Raises PaginationNumberInvalid for anything that is not a number from 0.
        """
        text = query.get("n")
        if text is None or text == "":
            return cls(default, query.get("last", ""))
        if not (text.isascii() and text.isdigit()):
            raise PaginationNumberInvalid(
                f"n={text[:40]!r} is not a number of entries: give 0 or more",
                detail={"n": text[:40]},
            )
        return cls(min(int(text[:12]), largest), query.get("last", ""))

    def cut(self, entries: Sequence[str]) -> tuple[Sequence[str], bool]:
        """The page of ``entries`` that were read with one to spare, and whether more follow."""
        if self.size is None or len(entries) <= self.size:
            return entries, False
        return entries[: self.size], self.size > 0

    def next_link(self, path: str, last: str, extra: Mapping[str, str] | None = None) -> str:
        """The Link header's value for the page after ``last``; a relative reference."""
        query = urlencode({**(extra or {}), "last": last, "n": self.size or 0})
        return f'<{path}?{query}>; rel="next"'
