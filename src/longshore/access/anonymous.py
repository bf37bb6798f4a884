"""No authentication configured: everybody may do everything, or what rules say."""

from collections.abc import Sequence

from longshore.access import refusals
from longshore.access.model import ANONYMOUS, Access, AccessController, Grant
from longshore.access.rules import Policy, missing
from longshore.http.request import Request

_OPEN = Grant(ANONYMOUS)


class AnonymousController(AccessController):
    """Nobody can log in, so nobody is asked to."""

    def __init__(self, policy: Policy | None = None) -> None:
        """``policy`` may forbid some things; without one nothing is forbidden."""
        self._policy = policy

    async def authorize(
        self, request: Request, wanted: Sequence[Access], *, upload_owner: str | None = None
    ) -> Grant:
        if self._policy is not None:
            lacking = missing(self._policy, ANONYMOUS, wanted)
            if lacking:
                reason = f"{self._policy.reason}, and without auth nobody can log in"
                raise refusals.denied(request, ANONYMOUS, lacking, reason)
        return _OPEN

    async def start(self) -> None:
        """Nothing to read."""

    async def stop(self) -> None:
        """Nothing to stop."""
