"""Who is let in, whatever they have proved: not who is disabled, has expired, or comes from elsewhere."""

from collections.abc import Sequence

from longshore.access import refusals
from longshore.access.model import Access
from longshore.access.token import InvalidToken
from longshore.http.request import Request
from longshore.identity import credentials, robots
from longshore.identity.model import Standing


def let_in(request: Request, standing: Standing, wanted: Sequence[Access], ask: str) -> None:
    """Raises Unauthorized for who is not, whatever they have proved: only they are told so."""
    if (why := barred(request, standing)) is not None:
        raise refusals.unauthorized(why, wanted, ask)


def still_let_in(request: Request, standing: Standing) -> None:
    """Raises InvalidToken for who is not any more."""
    if (why := barred(request, standing)) is not None:
        raise InvalidToken(why)


def barred(request: Request, standing: Standing) -> str | None:
    """Why somebody is not let in; None when they are."""
    who = refusals.shown(standing.user)
    is_robot = robots.spelled(standing.user) is not None
    kind = "robot" if is_robot else "access token" if standing.token else "user"
    if standing.disabled:
        word = "robot" if is_robot else "user"
        return f"{word} {who} is disabled; an administrator lets them in again with: longshore {word} enable"
    if standing.expired:
        return f"{kind} {who} has expired; make another"
    client = request.exchange.client
    if standing.networks and not credentials.is_among(client, standing.networks):
        return f"{kind} {who} is not for use from {client}: its allowed networks do not include it"
    return None
