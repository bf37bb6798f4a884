"""auth.silly of config.yml: a challenge, and then any Authorization header will do. It protects
nothing and exists to try clients out; it is built only in development mode."""

from collections.abc import Sequence

from longshore.access import challenge, header, refusals
from longshore.access.model import Access, AccessController, Grant, Principal
from longshore.http.request import Request


class SillyController(AccessController):
    """Lets in whoever sends any Authorization header, as user ``silly``."""

    def __init__(self, realm: str, service: str) -> None:
        self._realm = realm
        self._service = service

    async def authorize(
        self, request: Request, wanted: Sequence[Access], *, upload_owner: str | None = None
    ) -> Grant:
        if not header.authorization(request):
            raise refusals.login_needed(
                request, wanted, challenge.bearer(self._realm, self._service, wanted)
            )
        request.exchange.user = "silly"
        return Grant(Principal("silly", "silly"))

    async def start(self) -> None:
        """Nothing to read."""

    async def stop(self) -> None:
        """Nothing to stop."""
