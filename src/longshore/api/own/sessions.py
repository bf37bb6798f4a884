"""Sessions: where one is logged in, and ending that; one's own, and with the right to those of others."""

from functools import partial

from longshore.api.caller import Caller, Calling, in_person, in_system
from longshore.api.errors import NotFound
from longshore.api.owners import own_id, owner
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Id, Moment, Router, Shape, moment
from longshore.db.database import Connection
from longshore.identity import store
from longshore.identity.model import Session

router = Router(tags=["sessions"])


class SessionResp(Shape):
    """A browser that somebody is logged in with. ``provider``: where the login was, if not with a password
    here. ``current``: the request was sent by it."""

    id: int
    address: str
    user_agent: str
    creation_time: Moment
    last_seen_time: Moment
    expiration_time: Moment
    current: bool
    provider: str = ""

    @classmethod
    def of(cls, session: Session, caller: Caller) -> "SessionResp":
        return cls(
            id=session.id,
            address=session.address,
            user_agent=session.user_agent,
            creation_time=moment(session.created_at),
            last_seen_time=moment(session.last_seen_at),
            expiration_time=moment(session.expires_at),
            current=caller.session is not None and caller.session.id == session.id,
            provider=session.provider,
        )


@router.get("/sessions", dependencies=[in_person()])
async def list_own_sessions(caller: Calling, services: Serving) -> list[SessionResp]:
    """List one's sessions, the last used first."""
    found = await services.sessions.of(own_id(caller))
    return [SessionResp.of(session, caller) for session in found]


@router.delete("/sessions", response_class=Empty, dependencies=[in_person()])
async def end_own_other_sessions(caller: Calling, services: Serving) -> Empty:
    """End all of one's sessions but the one that asks."""
    but = caller.session.id if caller.session is not None else 0
    await _end_all(own_id(caller), caller.name, caller, services, but)
    return Empty()


@router.delete("/sessions/{session_id}", response_class=Empty, dependencies=[in_person()])
async def end_own_session(session_id: Id, caller: Calling, services: Serving) -> Empty:
    """End one of one's sessions."""
    await _end(own_id(caller), caller.name, session_id, caller, services)
    return Empty()


@router.get("/users/{user_id}/sessions", dependencies=[in_system("user", "read")])
async def list_sessions_of_user(
    user_id: Id, caller: Calling, services: Serving
) -> list[SessionResp]:
    """List a user's sessions."""
    await owner(user_id, services)
    return [SessionResp.of(session, caller) for session in await services.sessions.of(user_id)]


@router.delete(
    "/users/{user_id}/sessions", response_class=Empty, dependencies=[in_system("user", "update")]
)
async def end_sessions_of_user(user_id: Id, caller: Calling, services: Serving) -> Empty:
    """End all of a user's sessions."""
    await _end_all(user_id, (await owner(user_id, services)).name, caller, services)
    return Empty()


@router.delete(
    "/users/{user_id}/sessions/{session_id}",
    response_class=Empty,
    dependencies=[in_system("user", "update")],
)
async def end_session_of_user(
    user_id: Id, session_id: Id, caller: Calling, services: Serving
) -> Empty:
    """End one of a user's sessions."""
    await _end(user_id, (await owner(user_id, services)).name, session_id, caller, services)
    return Empty()


async def _end(user_id: int, name: str, id: int, caller: Caller, services: Services) -> None:
    def end(connection: Connection) -> None:
        if not store.remove_session(connection, user_id, id):
            raise NotFound(f"user {name!r} has no session with the id {id}")

    await services.changes.make(
        end, "logout", "user", name, description="a session was ended", origin=caller.origin
    )


async def _end_all(
    user_id: int, name: str, caller: Caller, services: Services, but: int = 0
) -> None:
    end = partial(store.remove_sessions, user_id=user_id, but=but)
    description = "all other sessions were ended" if but else "all sessions were ended"
    await services.changes.make(
        end, "logout", "user", name, description=description, origin=caller.origin
    )
