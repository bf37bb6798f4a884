"""Sessions for those who log in at a provider: what ``longshore.oidc`` begins and ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from longshore.access.refusals import shown
from longshore.api import cookies
from longshore.api.csrf import foreign, refusal_of
from longshore.api.errors import Forbidden
from longshore.api.proving import prove_code, prove_password
from longshore.db.database import Connection
from longshore.identity import store
from longshore.identity.model import Session, Standing, User
from longshore.identity.second_factor import SecondFactorNotEnrolled
from longshore.outbox.model import Origin

if TYPE_CHECKING:
    from longshore.http.request import Request
    from longshore.identity.changes import Changes
    from longshore.identity.controller import ProjectController
    from longshore.identity.sessions import Sessions


@dataclass(frozen=True, slots=True)
class BrowserSessions:
    """Opens and closes them; headers for the reply."""

    sessions: "Sessions"
    people: "ProjectController"
    changes: "Changes"

    async def open(self, request: "Request", user: User, provider: str) -> Mapping[str, str]:
        """A new session of ``user``, who logged in at ``provider``; one that the browser had before ends."""
        former = await self.sessions.find(request.cookies.get(cookies.SESSION, ""))
        # The login has just changed something about them, perhaps.
        standing = await self.people.standing(user.name, "")
        exchange = request.exchange
        opened = self.sessions.open(standing, exchange.client, exchange.user_agent, provider)

        def replace(connection: Connection) -> None:
            if former is not None:
                store.remove_session(connection, former.user_id, former.id)
            opened.work(connection)

        await self.changes.make(
            replace, "login", "user", user.name, origin=_origin(request, user.name)
        )
        # The token against other sites comes with the first reply in the session.
        return {"Set-Cookie": cookies.session_cookie(request, opened.text)}

    async def find(self, request: "Request") -> Session | None:
        """The one that ``request`` belongs to, while it is good. Raises SecondFactorNotEnrolled when it is good
        for enrolling only."""
        session = await self.sessions.find(request.cookies.get(cookies.SESSION, ""))
        standing = await current(self.people, session)
        if session is None or standing is None:
            return None
        if not session.provider and self.people.lacks_second_factor(standing):
            raise not_enrolled(session)
        await self.sessions.used(session)
        return session

    async def changing(self, request: "Request") -> Session | None:
        """The same, for a request that changes something. Raises Forbidden when a page of another site may
        have sent it."""
        text = request.cookies.get(cookies.SESSION, "")
        refusal = refusal_of(request, request.scope["path"], text)
        if refusal is not None:
            raise refusal
        return await self.find(request)

    def ours(self, request: "Request") -> None:
        """Raises Forbidden when a page of another site has sent ``request``, by what the browser says."""
        refusal = foreign(request)
        if refusal is not None:
            raise refusal

    async def prove(self, request: "Request", session: Session, password: str, code: str) -> None:
        """Raises Forbidden unless that is the password, and, with a second factor, the code of whose ``session`` it
        is. Nothing is asked of who has none here and opened it at a provider."""
        database = self.sessions.database
        user = await database.read(partial(store.find_user, id=session.user_id))
        if user is None or (session.provider and not user.local):
            return
        if not password:
            raise Forbidden(
                f"user {shown(user.name)} has a password: send it once more as the field password, and "
                "with a second factor the field code; an open browser is not enough"
            )
        await prove_password(self.people, request, user, password)
        if user.second_factor:
            await prove_code(self.people, request, user, code)

    async def close(self, request: "Request") -> Mapping[str, str]:
        """End that of ``request``, if it has one."""
        found = await self.sessions.find(request.cookies.get(cookies.SESSION, ""))
        if found is not None:
            work = partial(store.remove_session, user_id=found.user_id, id=found.id)
            origin = _origin(request, found.user)
            await self.changes.make(work, "logout", "user", found.user, origin=origin)
        return {"Set-Cookie": cookies.session_cookie(request, "") + "; Max-Age=0"}


async def current(people: "ProjectController", session: Session | None) -> Standing | None:
    """Whose ``session`` it is, if it holds still."""
    if session is None:
        return None
    standing = await people.standing(session.user, "")
    if standing.seal != session.seal:
        # Another node may have opened it after a change that this one does not know of yet.
        standing = await people.standing(session.user, "")
    return standing if standing.seal == session.seal and not standing.disabled else None


def not_enrolled(session: Session) -> SecondFactorNotEnrolled:
    """What who is in ``session`` is told when it is good for enrolling a second factor only."""
    return SecondFactorNotEnrolled(
        f"user {shown(session.user)} needs a second factor here and has none "
        "(longshore.logins.secondfactor): this session is good for enrolling one, at "
        "/api/longshore/v1/users/current/second-factor"
    )


def _origin(request: "Request", actor: str) -> Origin:
    exchange = request.exchange
    return Origin(
        actor,
        exchange.client,
        request.scope["scheme"],
        exchange.host,
        exchange.method,
        exchange.user_agent,
        exchange.request_id,
    )
