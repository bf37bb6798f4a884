"""Where a reply sends the client next: ``Location`` headers.

Relative by default, so that no proxy in front can make it wrong (RFC 9110 10.2.2 allows that, and
every client since Docker 1.8 resolves it). ``http.host`` makes it absolute.
"""

from dataclasses import dataclass

from longshore.http.request import Request


@dataclass(frozen=True, slots=True)
class Locations:
    """``host`` is an external URL (``https://registry.example``) or empty; ``prefix`` a path below
    which the registry lies; ``absolute`` builds the URL from the request when there is no host."""

    host: str = ""
    prefix: str = ""
    absolute: bool = False

    def of(self, request: Request, path: str) -> str:
        """The value for ``Location``; ``path`` begins with ``/v2/``."""
        if self.host:
            return f"{self.host.rstrip('/')}{self.prefix}{path}"
        if self.absolute:
            return f"{request.external_url}{self.prefix}{path}"
        return f"{self.prefix}{path}"
