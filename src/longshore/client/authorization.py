"""The Authorization header of every request to one registry, learnt from its challenges."""

from collections.abc import Iterable

import anyio
import httpx
from cachetools import LRUCache

from longshore.client.challenge import Challenge, parse_challenges
from longshore.client.credentials import Credential, CredentialSource
from longshore.client.tokens import Token, TokenServer
from longshore.client.wire import Wire

Scopes = frozenset[str]

#: A pull-through cache may meet any number of repositories; a push needs two.
_TOKENS_KEPT = 512


class Authorization:
    """Answers challenges and remembers what it learnt.

    Until the registry has sent a challenge nothing is sent to it. Credentials are looked up at
    the first challenge, tokens are kept per set of scopes until shortly before they expire.
    """

    def __init__(self, wire: Wire, credentials: CredentialSource) -> None:
        self._wire = wire
        self._credentials = credentials
        self._credential: Credential | None = None
        self._looked_up = False
        self._basic = False
        self._server: TokenServer | None = None
        self._tokens: LRUCache[Scopes, Token] = LRUCache(_TOKENS_KEPT)
        #: What the registry asked for beyond what the request thought it needs.
        self._added: LRUCache[Scopes, Scopes] = LRUCache(_TOKENS_KEPT)
        self._lock = anyio.Lock()

    async def header(self, scopes: Scopes) -> str | None:
        """The Authorization header for a request that needs these scopes, if any is known."""
        credential = await self._find() if self._basic or self._server else None
        if credential and credential.registry_token:
            return f"Bearer {credential.registry_token}"
        if self._server:
            token = await self._token(self._server, scopes, credential)
            return f"Bearer {token.value}"
        return credential.basic if self._basic and credential else None

    async def learn(
        self, base: httpx.URL, headers: Iterable[str], scopes: Scopes, sent: str | None
    ) -> bool:
        """Take in the challenges of a 401; whether asking again can have another outcome.

        `sent` is the header that was refused. A refused token is forgotten.
        """
        challenges = {challenge.scheme: challenge for challenge in parse_challenges(headers)}
        if bearer := challenges.get("bearer"):
            self._learn_bearer(base, bearer, scopes, sent)
            return True
        if "basic" in challenges:
            self._basic, self._server = True, None
            credential = await self._find()
            return credential is not None and credential.basic != sent
        return False

    def _learn_bearer(
        self, base: httpx.URL, challenge: Challenge, scopes: Scopes, sent: str | None
    ) -> None:
        self._server = TokenServer(self._wire, base, challenge)
        if added := challenge.scopes - scopes:
            self._added[scopes] = self._added.get(scopes, frozenset()) | added
        token = self._tokens.get(scopes)
        # Another task may have replaced it since this request was sent.
        if token and (sent == f"Bearer {token.value}" or challenge.scopes - scopes):
            del self._tokens[scopes]

    async def identity_token(self) -> str:
        """What the token server gives at login in place of the password; empty if it does not.

        Raises Unauthenticated when the credential is wrong.
        """
        if self._server is None:
            return ""
        token = await self._server.token((), await self._find(), offline=True)
        self._tokens[frozenset()] = token
        return token.identity_token

    async def _find(self) -> Credential | None:
        async with self._lock:
            if not self._looked_up:
                self._credential = await self._credentials.find(self._wire.registry)
                self._looked_up = True
        return self._credential

    async def _token(
        self, server: TokenServer, scopes: Scopes, credential: Credential | None
    ) -> Token:
        token = self._tokens.get(scopes)
        if token and token.fresh:
            return token
        async with self._lock:  # many layers at once need one token, not one each
            token = self._tokens.get(scopes)
            if token is None or not token.fresh:
                wanted = scopes | self._added.get(scopes, frozenset())
                token = await server.token(wanted, credential)
                self._tokens[scopes] = token
        return token
