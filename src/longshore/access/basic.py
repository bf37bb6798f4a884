"""Access for the users of an htpasswd file: auth.htpasswd of config.yml."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from longshore.access import challenge, header, refusals
from longshore.access.credentials import Logins
from longshore.access.grant import Asking, PasswordGrant, no_refresh_tokens
from longshore.access.grant import Grant as TokenGrant
from longshore.access.header import Login, Unreadable
from longshore.access.issuer import SERVICE, TokenIssuer, granted, parse_scopes
from longshore.access.model import ANONYMOUS, Access, AccessController, Grant, Principal
from longshore.access.proofs import Proofs
from longshore.access.rules import Policy, missing
from longshore.access.token import InvalidToken, Token
from longshore.http.request import Request


@dataclass(frozen=True, slots=True)
class _Identity:
    """Who sent a request; ``token`` when one said so; ``expired`` when that one had ended."""

    principal: Principal
    token: Token | None = None
    expired: bool = False


_NOBODY = _Identity(ANONYMOUS)


class HtpasswdController(AccessController):
    """Users log in with a password; ``policy`` says what they, and others, may do.

    With an ``issuer`` the challenge is Bearer and its tokens are accepted beside passwords.
    """

    def __init__(
        self,
        realm: str,
        logins: Logins,
        policy: Policy,
        *,
        issuer: TokenIssuer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` tells POSIX seconds."""
        self.issuer = issuer
        self._realm = realm
        self._logins = logins
        self._policy = policy
        self._clock = clock
        self._tokens: Proofs[Token] = Proofs(LRUCache(8192))

    async def start(self) -> None:
        await self._logins.start()

    async def stop(self) -> None:
        self._logins.stop()

    async def authorize(
        self, request: Request, wanted: Sequence[Access], *, upload_owner: str | None = None
    ) -> Grant:
        identity = await self._identify(request, wanted, upload_owner)
        principal, token = identity.principal, identity.token
        request.exchange.user = principal.name
        lacking = missing(self._policy, principal, wanted)
        if lacking and not principal.is_anonymous:
            raise refusals.denied(request, principal, lacking, self._policy.reason)
        if token is not None and token.missing(wanted):
            raise refusals.unauthorized(
                f"the token does not cover: {refusals.describe(token.missing(wanted))}; "
                f"ask for one with that scope, or log in: docker login {refusals.host(request)}",
                wanted,
                self._challenge(request, wanted, "insufficient_scope"),
            )
        if principal.is_anonymous and (lacking or not (wanted or token)):
            raise refusals.login_needed(request, wanted, self._challenge(request, wanted))
        return Grant(principal, identity.expired)

    async def token(self, issuer: TokenIssuer, request: Request, asking: Asking) -> dict[str, Any]:
        """The token endpoint's reply to GET: a token for as much of the asked scopes as the user,
        or anybody, may have. Raises Unauthorized for a wrong password."""
        value = header.authorization(request)
        return await self._issue(issuer, request, value, header.parse_login(value), asking.scopes)

    async def grant(
        self, issuer: TokenIssuer, request: Request, asked: TokenGrant
    ) -> dict[str, Any]:
        """The same for POST, whose body is ``asked``. Raises TokenRequestInvalid for a refresh token."""
        if not isinstance(asked, PasswordGrant):
            raise no_refresh_tokens(request)
        scopes = asked.asking.scopes
        return await self._issue(issuer, request, asked.value, asked.login, scopes)

    async def _issue(
        self,
        issuer: TokenIssuer,
        request: Request,
        value: bytes,
        login: Login | Unreadable | None,
        asked: Sequence[str],
    ) -> dict[str, Any]:
        await self._logins.fresh()
        principal = ANONYMOUS
        if login is not None:
            ask = challenge.basic(self._realm)
            principal = await self._log_in(request, value, login, (), ask)
        request.exchange.user = principal.name
        scopes = granted(self._policy, principal, parse_scopes(asked))
        return await issuer.issue(principal, self._logins.seal(principal.name), scopes)

    async def _identify(
        self, request: Request, wanted: Sequence[Access], upload_owner: str | None
    ) -> _Identity:
        value = header.authorization(request)
        if not value:
            return _NOBODY
        await self._logins.fresh()
        if self.issuer is not None and header.is_bearer(value):
            return await self._by_token(self.issuer, request, wanted, value, upload_owner)
        proved = self._logins.proved(value)
        if proved is not None:
            return _Identity(proved)
        login = header.parse_login(value)
        if login is None:
            return _NOBODY
        ask = self._challenge(request, wanted)
        return _Identity(await self._log_in(request, value, login, wanted, ask))

    async def _log_in(
        self,
        request: Request,
        value: bytes,
        login: Login | Unreadable,
        wanted: Sequence[Access],
        ask: str,
    ) -> Principal:
        if isinstance(login, Unreadable):
            raise refusals.unreadable(request, login.reason, wanted, ask)
        principal = self._logins.proved(value) or await self._logins.prove(
            value, login, request.exchange.client
        )
        if principal is None:
            raise refusals.login_failed(request, login.user, wanted, ask)
        return principal

    async def _by_token(
        self,
        issuer: TokenIssuer,
        request: Request,
        wanted: Sequence[Access],
        value: bytes,
        upload_owner: str | None,
    ) -> _Identity:
        try:
            token = await self._verified(issuer, value)
            expired = token.overdue(self._clock(), upload_owner)
        except InvalidToken as error:
            raise refusals.token_refused(
                request, error, wanted, self._challenge(request, wanted, "invalid_token")
            ) from error
        principal = Principal(token.subject, "htpasswd") if token.subject else ANONYMOUS
        return _Identity(principal, token, expired)

    async def _verified(self, issuer: TokenIssuer, value: bytes) -> Token:
        """The token in a header, as long as its user has the password it was issued for."""
        key = self._tokens.key(value)
        token = self._tokens.find(key, 0)
        if token is None:
            token = await issuer.verify(header.parse_token(value))
            self._tokens.remember(key, 0, token)
        if (token.subject and not token.seal) or token.seal != self._logins.seal(token.subject):
            raise InvalidToken("its user was removed or has a new password since")
        return token

    def _challenge(
        self,
        request: Request,
        wanted: Sequence[Access],
        fault: challenge.TokenFault | None = None,
    ) -> str:
        if self.issuer is None:
            return challenge.basic(self._realm)
        return challenge.bearer(self.issuer.realm(request), SERVICE, wanted, fault)
