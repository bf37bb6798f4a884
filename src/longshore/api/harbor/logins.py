"""Logins with a browser: Harbor's ``/c``."""

from functools import partial
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Query, Request, Response

from longshore.access.header import Login
from longshore.api import cookies
from longshore.api.caller import Caller, Calling, anybody, in_system, registry_request
from longshore.api.errors import BadRequest
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Router
from longshore.db.database import Connection
from longshore.identity import store
from longshore.identity.model import Standing

router = Router(tags=["login"], include_in_schema=False)

_LONGEST: Final = 8192
_FIELDS: Final = 16


@router.post("/c/login", response_class=Empty, dependencies=[anybody()])
async def log_in(request: Request, caller: Calling, services: Serving) -> Empty:
    """Open a session with the form fields ``principal`` and ``password``, and ``code`` of who has a second
    factor."""
    login, code = _login(await request.body())
    ours = registry_request(request)
    standing = await services.people.log_in(ours, login, code)
    ours.exchange.user = standing.user
    return await open_session(request, services, standing, caller)


async def open_session(
    request: Request, services: Services, standing: Standing, caller: Caller
) -> Empty:
    """The reply that gives a client a new session of the user who has just proved who they are; one that
    it had before ends."""
    ours = registry_request(request)
    former = caller.session
    opened = services.sessions.open(standing, ours.exchange.client, ours.exchange.user_agent)

    def replace(connection: Connection) -> None:
        if former is not None:
            store.remove_session(connection, former.user_id, former.id)
        opened.work(connection)

    await services.changes.make(replace, "login", "user", standing.user, origin=caller.origin)
    return _with_headers(cookies.session_headers(ours, opened.text))


async def go_on(request: Request, services: Services, caller: Caller, reply: Response) -> None:
    """All that the caller had proved has ended; the session in which they ask goes on, as a new one that
    ``reply`` brings."""
    if caller.session is None:
        return
    ours = registry_request(request)
    standing = await services.people.standing(caller.session.user, "")
    exchange = ours.exchange
    opened = services.sessions.open(
        standing, exchange.client, exchange.user_agent, caller.session.provider
    )
    await services.database.write(opened.work)
    for name, value in cookies.session_headers(ours, opened.text):
        reply.headers.append(name, value)


@router.get("/c/log_out", response_class=Empty, dependencies=[anybody()])
async def log_out(request: Request, caller: Calling, services: Serving) -> Empty:
    """End the session."""
    session = caller.session
    if session is not None:
        work = partial(store.remove_session, user_id=session.user_id, id=session.id)
        await services.changes.make(work, "logout", "user", session.user, origin=caller.origin)
    return _with_headers(cookies.farewell_headers(registry_request(request)))


@router.post("/c/userExists", dependencies=[in_system("user", "list")])
async def user_exists(
    services: Serving,
    target: Annotated[str, Query(max_length=20)] = "username",
    value: Annotated[str, Query(max_length=255)] = "",
) -> bool:
    """Whether there is a user of that name (``target=username``) or address (``target=email``)."""
    match target:
        case "username":
            found = await services.database.read(partial(store.find_user, name=value))
        case "email":
            found = await services.database.read(partial(store.find_user_by_mail, email=value))
        case _:
            raise BadRequest(f"target is {target!r}: write username or email")
    return found is not None


def _login(body: bytes) -> tuple[Login, str]:
    """With the code, empty where there is none. Raises BadRequest."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError as error:
        raise BadRequest("the body is no form with the fields principal and password") from error
    fields = dict(reversed(pairs))
    name, password = fields.get("principal", ""), fields.get("password", "")
    if not name or not password or len(body) > _LONGEST or "\0" in name:
        raise BadRequest("the form needs the fields principal and password, both not empty")
    return Login(name, password.encode()), fields.get("code", "").strip()


def _with_headers(headers: cookies.Headers) -> Empty:
    reply = Empty(200)
    for name, value in headers:
        reply.headers.append(name, value)
    reply.headers["Cache-Control"] = "no-store"
    return reply
