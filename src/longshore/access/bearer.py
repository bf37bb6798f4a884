"""Access as a third party's token server grants it: auth.token of config.yml.

The Docker token protocol: a request without a sufficient token is told where to get one, for which
service and which scopes; the token's ``access`` claim is then the whole truth about rights.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from longshore.access import challenge, header, refusals
from longshore.access.keys import TrustedKeys, merge
from longshore.access.model import ANONYMOUS, Access, AccessController, Action, Grant, Principal
from longshore.access.proofs import Proofs
from longshore.access.token import InvalidToken, Token, TokenVerifier
from longshore.access.verification import Verifications
from longshore.access.watched import WatchedFile
from longshore.http.request import Request
from longshore.oci.errors import Unauthorized


@dataclass(frozen=True, slots=True)
class TokenServer:
    """Where clients get their tokens. ``redirect_path``, when set, replaces ``realm`` by that path
    on whatever host the client used to reach us."""

    realm: str
    service: str
    redirect_path: str = ""

    def challenge(
        self,
        request: Request,
        wanted: Sequence[Access],
        fault: challenge.TokenFault | None = None,
    ) -> str:
        realm = self.realm
        if self.redirect_path:
            realm = f"{challenge.redirect_origin(request)}/{self.redirect_path.lstrip('/')}"
        return challenge.bearer(realm, self.service, wanted, fault)


class TokenController(AccessController):
    """Verifies tokens and reads rights from them."""

    def __init__(
        self,
        server: TokenServer,
        verifier: TokenVerifier,
        files: Sequence[WatchedFile[TrustedKeys]],
        *,
        anonymous_pull: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``files`` hold the trusted keys. ``clock`` tells POSIX seconds."""
        self._server = server
        self._verifier = verifier
        self._files = tuple(files)
        self._anonymous_pull = anonymous_pull
        self._clock = clock
        self._proofs: Proofs[Token] = Proofs(LRUCache(8192))
        self._verifications: Verifications[Token] = Verifications()
        self._keys = TrustedKeys()
        self._generation = 0

    async def start(self) -> None:
        for file in self._files:
            await file.load()
        self._merge_keys()

    async def stop(self) -> None:
        self._verifications.close()

    async def authorize(
        self, request: Request, wanted: Sequence[Access], *, upload_owner: str | None = None
    ) -> Grant:
        try:
            token = await self._token(header.authorization(request))
            expired = token is not None and token.overdue(self._clock(), upload_owner)
        except InvalidToken as error:
            raise refusals.token_refused(
                request, error, wanted, self._server.challenge(request, wanted, "invalid_token")
            ) from error
        if token is None:
            if self._open_to_all(wanted):
                return Grant(ANONYMOUS)
            raise refusals.login_needed(request, wanted, self._server.challenge(request, wanted))
        principal = Principal(token.subject, "token")
        request.exchange.user = principal.name
        missing = token.missing(wanted)
        if missing and not self._open_to_all(missing):
            raise self._insufficient(request, wanted, missing, principal)
        return Grant(principal, expired)

    async def _token(self, value: bytes) -> Token | None:
        if not value:
            return None
        await self._check_files()
        key = self._proofs.key(value)
        token = self._proofs.find(key, self._generation)
        if token is not None:
            return token
        if not header.is_bearer(value):
            if header.parse_login(value) is None:
                return None
            raise InvalidToken("the Authorization header holds none, and only tokens count here")
        text = header.parse_token(value)
        return await self._verifications.run(key, lambda: self._verify(key, text))

    async def _verify(self, key: bytes, text: str) -> Token:
        keys, generation = self._keys, self._generation
        token = await self._verifications.in_thread(lambda: self._verifier.verify(text, keys))
        self._proofs.remember(key, generation, token)
        return token

    async def _check_files(self) -> None:
        for file in self._files:
            if file.due:
                await file.check()
        if sum(file.generation for file in self._files) != self._generation:
            self._merge_keys()

    def _merge_keys(self) -> None:
        self._keys = merge(*(file.content for file in self._files))
        self._generation = sum(file.generation for file in self._files)

    def _open_to_all(self, wanted: Sequence[Access]) -> bool:
        return (
            self._anonymous_pull
            and bool(wanted)
            and all(
                access.type == "repository" and access.actions == (Action.PULL,)
                for access in wanted
            )
        )

    def _insufficient(
        self,
        request: Request,
        wanted: Sequence[Access],
        missing: Sequence[Access],
        principal: Principal,
    ) -> Unauthorized:
        who = "anonymous" if principal.is_anonymous else refusals.shown(principal.name)
        return refusals.unauthorized(
            f"the token of {who} does not allow: {refusals.describe(missing)}; its token server "
            f"decides about rights; log in as somebody who has them: "
            f"docker login {refusals.host(request)}",
            wanted,
            self._server.challenge(request, wanted, "insufficient_scope"),
        )
