"""Refusals that explain themselves: what is missing on what, who is asking, what to do."""

from collections.abc import Sequence
from typing import Final

from longshore.access.model import Access, Action, Principal
from longshore.http.request import Request
from longshore.oci.errors import Denied, Unauthorized

_SHOWN: Final = 120


def login_needed(request: Request, wanted: Sequence[Access], challenge: str) -> Unauthorized:
    """Nobody said who they are, and for this somebody has to."""
    what = f"{describe(wanted)} needs a login" if wanted else "this registry asks for a login"
    return unauthorized(
        f"authentication required: {what} and no credentials were sent; "
        f"log in with: docker login {host(request)}",
        wanted,
        challenge,
    )


def login_failed(
    request: Request,
    user: str,
    wanted: Sequence[Access],
    challenge: str,
    *,
    command: str = "longshore htpasswd",
) -> Unauthorized:
    """The password is wrong or there is no such user; which of the two is not said. ``command`` is
    what sets a password."""
    return unauthorized(
        f"authentication failed: unknown user or wrong password for {shown(user)}; "
        f"log in again with: docker login {host(request)} "
        f"(the administrator sets passwords with: {command})",
        wanted,
        challenge,
    )


def unreadable(
    request: Request, reason: str, wanted: Sequence[Access], challenge: str
) -> Unauthorized:
    """The Authorization header is of no use; ``reason`` finishes "the header ..."."""
    return unauthorized(
        f"the Authorization header {reason}; log in with: docker login {host(request)}",
        wanted,
        challenge,
    )


def token_refused(
    request: Request, reason: object, wanted: Sequence[Access], challenge: str
) -> Unauthorized:
    """The token is not valid; ``reason`` says what is wrong with it."""
    return unauthorized(
        f"the token was refused: {reason}; get a new one with: docker login {host(request)}",
        wanted,
        challenge,
    )


def unauthorized(message: str, wanted: Sequence[Access], challenge: str) -> Unauthorized:
    """401 with its challenge, and the rights in distribution's form."""
    return Unauthorized(message, detail=detail(wanted), headers={"WWW-Authenticate": challenge})


def denied(
    request: Request, principal: Principal, missing: Sequence[Access], reason: str
) -> Denied:
    """403 for somebody we know. ``reason`` says which rule or setting decided."""
    who = "an anonymous user" if principal.is_anonymous else f"user {shown(principal.name)}"
    return Denied(
        f"{who} may not do this: {describe(missing)}; {reason}; ask the registry's administrator "
        f"for the right, or log in as somebody else with: docker login {host(request)}",
        detail=detail(missing),
    )


def describe(wanted: Sequence[Access]) -> str:
    """Rights in words: "pull and push on repository 'team/app'"."""
    return ", ".join(_describe(access) for access in wanted)


def _describe(access: Access) -> str:
    if access.type == "registry" and access.name == "catalog":
        return "listing all repositories"
    actions = " and ".join(
        "everything" if action is Action.ANY else action.value for action in access.actions
    )
    return f"{actions} on {access.type} {shown(access.name)}"


def detail(wanted: Sequence[Access]) -> list[dict[str, str]] | None:
    """One entry per right, with the keys distribution uses; None when nothing was asked for."""
    return [
        {"Type": access.type, "Class": "", "Name": access.name, "Action": action.value}
        for access in wanted
        for action in access.actions
    ] or None


def host(request: Request) -> str:
    """The name the client knows us by, fit for a sentence."""
    return request.external_url.partition("://")[2][:_SHOWN] or "HOST"


def shown(text: str) -> str:
    """``text`` quoted and cut, so that what a client sends cannot fill or forge a log line."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
