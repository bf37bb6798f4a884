"""What the emulator does not check, as the service publishes it: offsets of resumable uploads, and
access tokens. Answers can be made to fail in the ways in which networks and services do.
"""

import re
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc import jwt
from joserfc.jwk import RSAKey

UNIT = 256 << 10
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass
class Session:
    """A resumable upload: what has arrived, and whether it has ended."""

    key: str
    held: bytearray = field(default_factory=bytearray)
    ended: bool = False


class StrictService:
    """One bucket. ``faults`` are used up, one for each chunk that arrives:

    ``fine``; a status, answered instead; ``partial``: only some of it is kept; ``lost``: all is kept
    and the connection breaks; ``forgotten``: the same, and the upload is not known afterwards.
    """

    def __init__(self, public_key: RSAPublicKey | None = None) -> None:
        self.url = ""
        self.address = ("", 0)
        self.objects: dict[str, bytes] = {}
        self.sessions: dict[str, Session] = {}
        self.given_up: list[str] = []
        self.faults: deque[str] = deque()
        self.requests: list[str] = []
        #: Tokens are wanted when there is a key with which their requests are signed.
        self._key = public_key
        self.tokens: list[str] = []
        self.valid: set[str] = set()
        self.lifetime = 3600

    @property
    def held(self) -> int:
        """Bytes of uploads that have not ended."""
        return sum(len(session.held) for session in self.sessions.values())

    @asynccontextmanager
    async def running(self) -> AsyncIterator["StrictService"]:
        """Answer on loopback until the block is left."""
        application = web.Application(client_max_size=1 << 30)
        application.router.add_post("/token", self._give_token)
        application.router.add_post("/upload/storage/v1/b/longshore/o", self._begin)
        application.router.add_put("/session/{number}", self._continue)
        application.router.add_delete("/session/{number}", self._give_up)
        application.router.add_get("/storage/v1/b/longshore/o", self._list)
        application.router.add_get("/storage/v1/b/longshore/o/{key}", self._describe)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        self.address = (str(host), int(port))
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()

    def _check_token(self, request: web.Request) -> None:
        self.requests.append(request.method)
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._key is not None and given not in self.valid:
            text = '{"error": {"code": 401, "message": "Invalid Credentials"}}'
            raise web.HTTPUnauthorized(text=text, content_type="application/json")

    async def _give_token(self, request: web.Request) -> web.Response:
        assert self._key is not None
        form = await request.post()
        key = RSAKey.import_key(self._key)
        claims = jwt.decode(str(form["assertion"]), key, algorithms=["RS256"]).claims
        assert claims["aud"] == "https://oauth2.googleapis.com/token"
        assert claims["exp"] > time.time()
        if claims["iss"] == "stranger@project.iam.gserviceaccount.com":
            return web.json_response(
                {"error": "invalid_grant", "error_description": "account not found"}, status=400
            )
        self.tokens.append(token := f"token-{len(self.tokens)}")
        self.valid.add(token)
        return web.json_response(
            {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}
        )

    async def _list(self, request: web.Request) -> web.Response:
        self._check_token(request)
        return web.json_response({})

    async def _describe(self, request: web.Request) -> web.Response:
        self._check_token(request)
        content = self.objects.get(request.match_info["key"])
        if content is None:
            return web.json_response({"error": {"code": 404, "message": "gone"}}, status=404)
        return web.json_response({"size": str(len(content))})

    async def _begin(self, request: web.Request) -> web.Response:
        self._check_token(request)
        if request.query["uploadType"] == "media":
            self.objects[request.query["name"]] = await request.read()
            return web.json_response({})
        number = f"s{len(self.sessions)}"
        self.sessions[number] = Session(request.query["name"])
        # Where the client asked, which may be a proxy.
        return web.Response(headers={"Location": f"http://{request.host}/session/{number}"})

    async def _give_up(self, request: web.Request) -> web.Response:
        session = self.sessions.pop(request.match_info["number"])
        self.given_up.append(session.key)
        return web.Response(status=499)

    async def _continue(self, request: web.Request) -> web.Response:
        self.requests.append(request.method)
        if "Authorization" in request.headers:
            return web.Response(status=400, text="the URL of an upload is all it needs")
        content = await request.read()
        fault = self.faults.popleft() if self.faults else "fine"
        if fault.isdigit():
            return web.Response(status=int(fault))
        session = self.sessions.get(request.match_info["number"])
        if session is None:
            return web.Response(status=404)
        found = _RANGE.fullmatch(request.headers["Content-Range"])
        if found is None:
            return web.Response(status=400, text="no range")
        if not session.ended:
            problem = self._take(session, content, found, keep_all=fault != "partial")
            if problem:
                return web.Response(status=400, text=problem)
        if fault == "forgotten":
            del self.sessions[request.match_info["number"]]
        if fault in ("lost", "forgotten"):
            assert request.transport is not None
            request.transport.abort()
        if session.ended:
            return web.json_response({"size": str(len(session.held))})
        held = {"Range": f"bytes=0-{len(session.held) - 1}"} if session.held else {}
        return web.Response(status=308, headers=held)

    def _take(
        self, session: Session, content: bytes, found: re.Match[str], *, keep_all: bool
    ) -> str:
        """Add what is new; a sentence if the request is not one that the service takes."""
        start = int(found[1]) if found[1] else len(session.held)
        total = None if found[3] == "*" else int(found[3])
        if found[1] and int(found[2]) - start + 1 != len(content):
            return "the range is not that of the content"
        if start > len(session.held):
            return "bytes are missing before these"
        if total is None and len(content) % UNIT:
            return "no multiple of 256 KiB, and not the last"
        new = content[len(session.held) - start :]
        session.held += new if keep_all else new[:UNIT]
        if total is not None and len(session.held) == total:
            session.ended = True
            self.objects[session.key] = bytes(session.held)
        elif total is not None and keep_all:
            return f"{len(session.held)} bytes are not {total}"
        return ""
