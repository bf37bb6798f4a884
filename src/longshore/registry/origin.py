"""What events say of who asked."""

from longshore.access.model import Grant
from longshore.http.request import Request
from longshore.outbox.model import Origin


def origin_of(request: Request, grant: Grant) -> Origin:
    """Who sent the request, from where."""
    exchange = request.exchange
    return Origin(
        actor=grant.principal.name,
        address=exchange.client,
        scheme=request.scope["scheme"],
        host=exchange.host,
        method=exchange.method,
        user_agent=exchange.user_agent,
        request_id=exchange.request_id,
    )
