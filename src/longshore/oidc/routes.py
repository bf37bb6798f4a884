"""The routes of logins: below /c/oidc, where Harbor has them.

========  =====================  ==============================================================
GET       /c/oidc/login          to the provider's page (``provider``, ``redirect_url``)
GET       /c/oidc/callback       back from there
POST      /c/oidc/link           the same for who is in a session, to be linked (``provider``, ``redirect_url``)
GET POST  /c/oidc/onboard        a new user chooses a name
GET       /c/oidc/logout         ends the session at the provider
POST      /c/oidc/device         a code to type in at another device (``provider``)
POST      /c/oidc/device/token   has it been typed in? (``handle``)
========  =====================  ==============================================================
"""

import html
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlsplit

import orjson

from longshore.access.challenge import origin
from longshore.http.request import Request
from longshore.http.response import JSONResponse, Response
from longshore.http.routing import Handler, Route
from longshore.identity.errors import IdentityError, Taken
from longshore.identity.model import Session, User
from longshore.oidc.accounts import Newcomer, NotExpected, provider_key
from longshore.oidc.logins import LoginRefused, Logins
from longshore.oidc.people import Person
from longshore.oidc.sealed import LIFETIME, Sealed
from longshore.openid.errors import GrantRefused, ProviderUnavailable, TokenRefused
from longshore.outbox.model import Origin

COOKIE: Final = "longshore_oidc"
_LARGEST: Final = 16 * 1024
_PENDING: Final = frozenset({"authorization_pending", "slow_down"})
_PAGE_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Sessions(Protocol):
    """Where logins with a browser are remembered."""

    async def open(self, request: Request, user: User, provider: str) -> Mapping[str, str]:
        """Begin a session of ``user``, who logged in at ``provider``; headers for the reply, such as ``Set-Cookie``."""

    async def find(self, request: Request) -> Session | None:
        """The session of ``request``. Raises RegistryError when it is not good for everything."""

    async def changing(self, request: Request) -> Session | None:
        """The same, for a request that changes something. Raises RegistryError when another site may have sent
        it."""

    def ours(self, request: Request) -> None:
        """Raises RegistryError when a page of another site has sent ``request``."""

    async def prove(self, request: Request, session: Session, password: str, code: str) -> None:
        """Raises RegistryError unless whose ``session`` it is proves it once more, as far as they can."""

    async def close(self, request: Request) -> Mapping[str, str]:
        """End the session of ``request``; headers for the reply."""


#: A user's name and a client's -> what stands for a password of docker; None where there is no such thing.
Remember = Callable[[Request, str], Awaitable[str | None]]


class LoginRoutes:
    """Handlers of the routes."""

    def __init__(
        self,
        logins: Logins,
        sealed: Sealed,
        remember: Remember,
        sessions: Sessions,
        *,
        host: str = "",
        prefix: str = "",
    ) -> None:
        """``host`` and ``prefix`` as for ``longshore.access.controller``."""
        self._logins = logins
        self._sealed = sealed
        self._remember = remember
        self._sessions = sessions
        self._host, self._prefix = host.rstrip("/"), prefix.rstrip("/")

    def routes(self) -> list[Route]:
        """Put these before the management API's."""

        def route(name: str, path: str, handlers: Mapping[str, Handler]) -> Route:
            guarded = {method: _guarded(handler) for method, handler in handlers.items()}
            return Route(f"oidc_{name}", f"/c/oidc/{path}/?", guarded, "OpenID Connect Core 1.0")

        return [
            route("login", "login", {"GET": self.login}),
            route("callback", "callback", {"GET": self.callback}),
            route("link", "link", {"POST": self.link}),
            route("onboard", "onboard", {"GET": self.onboarding, "POST": self.onboard}),
            route("logout", "logout", {"GET": self.logout}),
            route("device", "device", {"POST": self.device}),
            route("device_token", "device/token", {"POST": self.device_token}),
        ]

    async def login(self, request: Request) -> Response:
        query = request.query_params
        logins = await self._logins.at(query.get("provider", ""))
        target = local_path(query.get("redirect_url", "/"))
        begun = await logins.begin(f"{self._base(request)}/c/oidc/callback", target)
        cookie = self._cookie(request, self._sealed.seal("login", begun.remembered))
        return _redirect(begun.url, {"Set-Cookie": cookie})

    async def link(self, request: Request) -> Response:
        session = await self._sessions.changing(request)
        if session is None:
            raise LoginRefused("log in first: who is to be linked is who is in a session")
        form = await _form(request)
        await self._sessions.prove(
            request, session, form.get("password", ""), form.get("code", "").strip()
        )
        logins = await self._logins.at(form.get("provider", ""))
        target = local_path(form.get("redirect_url", "/"))
        begun = await logins.begin(f"{self._base(request)}/c/oidc/callback", target, session.id)
        cookie = self._cookie(request, self._sealed.seal("login", begun.remembered))
        return _json({"url": begun.url}, headers={"Set-Cookie": cookie})

    async def callback(self, request: Request) -> Response:
        remembered = self._sealed.open("login", request.cookies.get(COOKIE, ""))
        if remembered is None:
            raise LoginRefused(
                "no login was begun in this browser within the last ten minutes, or its cookie was not "
                "kept; begin again"
            )
        logins = await self._logins.at(remembered["provider"])
        linking = await self._linking(request, remembered)
        person = await logins.finish(remembered, dict(request.query_params))
        if linking is not None:
            return await self._link(request, person, linking, remembered["target"])
        known = await self._logins.accounts.known(person.provider, person.subject)
        if known is None and not logins.settings.autoonboard:
            settings = logins.settings
            newcomer = Newcomer(person, settings.name, settings.issuer, remembered["target"])
            cookie = self._cookie(request, await self._logins.accounts.expect(newcomer))
            return _redirect(f"{self._prefix}/c/oidc/onboard", {"Set-Cookie": cookie})
        user = await self._logins.accounts.enter(person, _origin(request))
        return await self._logged_in(request, person, user, remembered["target"])

    async def onboarding(self, request: Request) -> Response:
        newcomer = await self._newcomer(request)
        suggestion = await self._logins.accounts.free_name(newcomer.person.name)
        return _page(
            "Choose a user name",
            f"<p>You are new here. Nobody can have two users with the same name.</p>"
            f'<form method="post" action="{html.escape(self._prefix)}/c/oidc/onboard">'
            f'<label>User name <input name="username" maxlength="255" required '
            f'value="{html.escape(suggestion)}"></label> <button>Continue</button></form>',
        )

    async def onboard(self, request: Request) -> Response:
        self._sessions.ours(request)
        newcomer = await self._newcomer(request)
        person, text = newcomer.person, request.cookies[COOKIE]
        name = (await _form(request)).get("username", "").strip()
        if not name:
            raise LoginRefused("username is missing")
        try:
            user = await self._logins.accounts.sign_up(text, person, name, _origin(request))
        except NotExpected as error:
            raise LoginRefused(str(error)) from error
        except Taken as error:
            return _refusal(409, "CONFLICT", str(error))
        except IdentityError as error:
            return _refusal(400, "BAD_REQUEST", str(error))
        return await self._logged_in(request, person, user, newcomer.target)

    async def logout(self, request: Request) -> Response:
        self._sessions.ours(request)
        logins = await self._logins.at(request.query_params.get("provider", ""))
        try:
            url = await logins.logout_url(f"{self._base(request)}/")
        except ProviderUnavailable as error:
            # Who wants to leave is not kept here because somebody else does not answer, and is told of it.
            return _refusal(
                502,
                "UNAVAILABLE",
                "your session here has ended; that at the OpenID provider may go on, as it cannot be asked "
                f"where sessions end: {error}",
                await self._sessions.close(request),
            )
        return _redirect(url, await self._sessions.close(request))

    async def device(self, request: Request) -> Response:
        logins = await self._logins.at((await _form(request)).get("provider", ""))
        code = await logins.begin_device()
        content = {
            "provider": logins.settings.name,
            "issuer": logins.settings.issuer,
            "code": code.device_code,
        }
        return _json(
            {
                "handle": self._sealed.seal("device", content, code.expires_in),
                "user_code": code.user_code,
                "verification_uri": code.verification_uri,
                "verification_uri_complete": code.verification_uri_complete,
                "expires_in": code.expires_in,
                "interval": code.interval,
            }
        )

    async def device_token(self, request: Request) -> Response:
        handle = (await _form(request)).get("handle", "")
        remembered = self._sealed.open("device", handle)
        if remembered is None:
            return _json({"error": "expired_token"}, 400)
        logins = await self._logins.at(remembered["provider"])
        logins.still(remembered)
        try:
            person = await logins.finish_device(remembered["code"])
        except GrantRefused as error:
            if error.code in _PENDING:
                return _json({"error": error.code}, 400)
            raise
        known = await self._logins.accounts.known(person.provider, person.subject)
        if known is None and not logins.settings.autoonboard:
            raise LoginRefused("you have no user yet: log in with a browser once, to choose a name")
        user = await self._logins.accounts.enter(person, _origin(request))
        if user.disabled:
            raise LoginRefused(f"user {user.name!r} is disabled")
        token = await self._remember(request, user.name)
        if token is None:
            raise LoginRefused(
                "this registry gives out no refresh tokens, so nothing could be kept"
            )
        request.exchange.user = user.name
        return _json({"username": user.name, "identity_token": token})

    async def _linking(self, request: Request, remembered: Mapping[str, Any]) -> Session | None:
        """The session whose user is to be linked; None when this is a login. Raises LoginRefused when it is not
        the one in which that was begun."""
        wanted = remembered.get("session", 0)
        if not wanted:
            return None
        session = await self._sessions.find(request)
        if session is None or session.id != wanted:
            raise LoginRefused(
                "the session in which this was begun has ended: log in, and begin again"
            )
        return session

    async def _link(
        self, request: Request, person: Person, session: Session, target: str
    ) -> Response:
        request.exchange.user = session.user
        origin = replace(_origin(request), actor=session.user)
        try:
            await self._logins.accounts.link(person, session.user_id, session.user, origin)
        except Taken as error:
            return _refusal(409, "CONFLICT", f"{error}: unlink it there first")
        return _redirect(target, {"Set-Cookie": self._cookie(request, "", seconds=0)})

    async def _logged_in(
        self, request: Request, person: Person, user: User, target: str
    ) -> Response:
        if user.disabled:
            raise LoginRefused(f"user {user.name!r} is disabled")
        request.exchange.user = user.name
        opened = await self._sessions.open(request, user, provider_key(person.provider))
        gone = self._cookie(request, "", seconds=0)
        if opened:
            reply = _redirect(target, opened)
            reply.raw.append((b"set-cookie", gone.encode()))
            return reply
        text = f"<p>You are the user <b>{html.escape(user.name)}</b> of this registry.</p>"
        return _page("Logged in", text, {"Set-Cookie": gone})

    async def _newcomer(self, request: Request) -> Newcomer:
        """Who is to choose a name in this browser. Raises LoginRefused when nobody is, and when the provider is
        another one by now."""
        found = await self._logins.accounts.expected(request.cookies.get(COOKIE, ""))
        if found is None:
            raise LoginRefused("no new user is expected from this browser; log in again")
        logins = await self._logins.at(found.provider)
        logins.still({"issuer": found.issuer})
        return found

    def _base(self, request: Request) -> str:
        return f"{self._host or origin(request)}{self._prefix}"

    def _cookie(self, request: Request, value: str, *, seconds: float = LIFETIME) -> str:
        secure = "; Secure" if self._base(request).startswith("https:") else ""
        return (
            f"{COOKIE}={value}; Path={self._prefix}/c/oidc; Max-Age={seconds:.0f}; HttpOnly; "
            f"SameSite=Lax{secure}"
        )


def local_path(text: str) -> str:
    """``text`` if it is a path of this registry, otherwise ``/``. Browsers take a backslash for a slash and
    drop control characters, so neither is let through."""
    fits = text.startswith("/") and text.isascii() and text.isprintable() and len(text) <= 2000
    if not fits or text.startswith("//") or "\\" in text:
        return "/"
    parts = urlsplit(text)
    return "/" if parts.scheme or parts.netloc else text


def _guarded(handler: Handler) -> Handler:
    async def guarded(request: Request, **arguments: Any) -> Response:
        try:
            return await handler(request, **arguments)
        except ProviderUnavailable as error:
            return _refusal(502, "UNAVAILABLE", f"the OpenID provider cannot be asked: {error}")
        except GrantRefused as error:
            return _refusal(401, "UNAUTHORIZED", f"the OpenID provider refused: {error}")
        except TokenRefused as error:
            return _refusal(401, "UNAUTHORIZED", f"the provider's token was refused: {error}")
        except LoginRefused as error:
            return _refusal(401, "UNAUTHORIZED", f"the login failed: {error}")

    return guarded


def _refusal(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    return _json({"errors": [{"code": code, "message": message}]}, status, headers)


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(content, status, {"Cache-Control": "no-store", **(headers or {})})


def _redirect(url: str, headers: Mapping[str, str]) -> Response:
    return Response(302, {"Location": url, "Cache-Control": "no-store", **headers})


def _page(title: str, body: str, headers: Mapping[str, str] | None = None) -> Response:
    text = f"<!doctype html><html lang=en><title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>{body}"
    return Response(200, {**_PAGE_HEADERS, **(headers or {})}, text.encode())


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form or of a JSON object. Raises LoginRefused."""
    body = await request.read(_LARGEST)
    if body is None:
        raise LoginRefused(f"the request has more than {_LARGEST} bytes")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            found = orjson.loads(body)
            fields = found if isinstance(found, dict) else {}
            return {name: value for name, value in fields.items() if isinstance(value, str)}
        return dict(parse_qsl(body.decode(), max_num_fields=20, errors="strict"))
    except ValueError as error:
        raise LoginRefused("the request holds no form and no JSON") from error


def _origin(request: Request) -> Origin:
    exchange = request.exchange
    return Origin(
        "",
        exchange.client,
        request.scope["scheme"],
        exchange.host,
        exchange.method,
        exchange.user_agent,
        exchange.request_id,
    )
