"""What a text may not hold: the character NUL, which PostgreSQL does not keep. It is refused whatever the
database is, so that what one takes the other takes as well (a backup may be restored into either).

What names and values may hold beside that is a question of their grammar.
"""

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from longshore.api.errors import BadRequest
from longshore.http.errors import error_response
from longshore.http.mounted import SCOPE_KEY

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

#: In JSON (RFC 8259 section 7): an escape whose backslash is not itself escaped.
_ESCAPED: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_NUL: Final = b"\0"


class WithoutNul:
    """Goes before the application; its requests come with their whole body in the first message
    (:class:`longshore.http.mounted.Mounted`)."""

    def __init__(self, application: "ASGIApp") -> None:
        self.application = application

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        message = await receive()
        place = _place(scope, message.get("body", b""))
        if place is None:
            await self.application(scope, _again(message, receive), send)
            return
        refusal = BadRequest(
            f"{place} holds the character NUL (U+0000), which no text here may have"
        )
        exchange = scope[SCOPE_KEY].exchange
        exchange.reason, exchange.message = refusal.code, refusal.message
        made = error_response(refusal)
        head = [(b"content-type", b"application/json; charset=utf-8")]
        await send({"type": "http.response.start", "status": made.status, "headers": head})
        await send({"type": "http.response.body", "body": made.body})


def _place(scope: "Scope", body: bytes) -> str | None:
    """Where there is one."""
    if "\0" in scope["path"]:
        return "the path"
    query = scope["query_string"]
    if b"%00" in query or _NUL in unquote_to_bytes(query):
        return "the query"
    if _NUL in body or (b"u0000" in body and _ESCAPED.search(body)):
        return "the body"
    return None


def _again(message: Any, receive: "Receive") -> "Receive":
    """``message``, and then what comes."""
    waiting = [message]

    async def following() -> Any:
        return waiting.pop() if waiting else await receive()

    return following
