"""Logins at providers, step by step; nothing of HTTP towards the client."""

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from longshore.oidc.accounts import Accounts
from longshore.oidc.people import Person, person
from longshore.oidc.settings import ProviderSettings
from longshore.openid import exchange
from longshore.openid.errors import TokenRefused
from longshore.openid.exchange import Client, DeviceCode, Tokens
from longshore.openid.provider import Provider
from longshore.openid.verification import Expected, unverified_issuer, verify
from longshore.openid.web import Web

#: The providers as they are configured now, in order.
Providers = Callable[[], Awaitable[Sequence[ProviderSettings]]]


class LoginRefused(Exception):
    """A login that does not come to an end. The message is a sentence for whoever tries."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A login that was begun: where the browser goes, and what must be known at the end."""

    url: str
    remembered: dict[str, Any]


class ProviderLogins:
    """Logins at one provider."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self.provider = Provider(settings.issuer, Web(settings.cafile, verify=settings.verify))
        self._client = Client(settings.clientid, settings.clientsecret.get_secret_value())

    async def begin(self, redirect_uri: str, target: str, session: int = 0) -> Begun:
        """Begin one in a browser, which is to end at ``target``. ``session``: the one whose user is to be linked to
        who logs in; whoever is logged in at the provider is asked to do so again, as it may be somebody
        else. Raises ProviderUnavailable."""
        verifier, state, nonce = (exchange.unguessable() for _ in range(3))
        url = await exchange.authorization_url(
            self.provider,
            {
                **self.settings.parameters,
                **({"prompt": "login"} if session else {}),
                "response_type": "code",
                "client_id": self.settings.clientid,
                "redirect_uri": redirect_uri,
                "scope": " ".join(self.settings.scopes),
                "state": state,
                "nonce": nonce,
                "code_challenge": exchange.code_challenge(verifier),
                "code_challenge_method": "S256",
            },
        )
        remembered = {
            "provider": self.settings.name,
            "issuer": self.settings.issuer,
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "redirect": redirect_uri,
            "target": target,
            "session": session,
        }
        return Begun(url, remembered)

    async def finish(self, remembered: Mapping[str, Any], answer: Mapping[str, str]) -> Person:
        """Who logged in, by what the provider sent the browser back with. Raises LoginRefused,
        GrantRefused, TokenRefused, ProviderUnavailable."""
        if not hmac.compare_digest(answer.get("state", "").encode(), remembered["state"].encode()):
            raise LoginRefused("this answer belongs to a login that was not begun in this browser")
        self.still(remembered)
        named = answer.get("iss")
        metadata = await self.provider.metadata()
        if (named or metadata.names_itself) and named != self.settings.issuer:
            raise LoginRefused("this answer is of another provider than the login was begun at")
        if error := answer.get("error"):
            described = answer.get("error_description", "")
            raise LoginRefused(f"the provider says {error[:100]!r}: {described[:300]!r}")
        code = answer.get("code", "")
        if not code:
            raise LoginRefused("the provider sent no code")
        tokens = await exchange.redeem_code(
            self.provider, self._client, code, remembered["verifier"], remembered["redirect"]
        )
        return await self._person(tokens, remembered["nonce"])

    def still(self, remembered: Mapping[str, Any]) -> None:
        """Raises LoginRefused when the provider of this name is another one than a login was begun at."""
        if remembered.get("issuer") != self.settings.issuer:
            raise LoginRefused(
                "the provider is another one since this login was begun; begin again"
            )

    async def begin_device(self) -> DeviceCode:
        """Begin one at another device. Raises GrantRefused, ProviderUnavailable."""
        return await exchange.begin_device(
            self.provider, self._client, " ".join(self.settings.scopes)
        )

    async def finish_device(self, device_code: str) -> Person:
        """Who typed in the code. Raises GrantRefused (``authorization_pending``), TokenRefused,
        ProviderUnavailable."""
        tokens = await exchange.redeem_device(self.provider, self._client, device_code)
        return await self._person(tokens, "")

    async def subject(self, id_token: str) -> str:
        """Whom an ID token is about that this registry was given. Raises TokenRefused,
        ProviderUnavailable."""
        claims = await verify(id_token, self.provider, self._expected())
        return str(claims["sub"])

    async def logout_url(self, back: str) -> str:
        """Where the browser ends its session at the provider; ``back`` if there is no such page."""
        metadata = await self.provider.metadata()
        if not metadata.end_session_endpoint or not self.settings.logout:
            return back
        return exchange.with_query(
            metadata.end_session_endpoint,
            {"client_id": self.settings.clientid, "post_logout_redirect_uri": back},
        )

    async def _person(self, tokens: Tokens, nonce: str) -> Person:
        expected = self._expected(nonce, tokens.access_token)
        claims = dict(await verify(tokens.id_token, self.provider, expected))
        wanted = [self.settings.userclaim, self.settings.groupsclaim, "email", "name"]
        if any(name and name not in claims for name in wanted):
            more = await exchange.userinfo(self.provider, tokens.access_token, claims["sub"])
            claims = {**more, **claims}
        # In a thread, for the filter of groups: it takes its time when there are many.
        return await anyio.to_thread.run_sync(person, self.settings, claims)

    def _expected(self, nonce: str = "", access_token: str = "") -> Expected:
        client = self.settings.clientid
        return Expected(self.settings.issuer, [client], client, nonce, access_token)


class Logins:
    """Logins at every provider that is configured now, with what was learnt of each for as long as it is
    configured so."""

    def __init__(self, providers: Providers, accounts: Accounts) -> None:
        self.accounts = accounts
        self._providers = providers
        self._known: dict[str, ProviderLogins] = {}
        self._former: list[ProviderLogins] = []

    async def at(self, name: str) -> ProviderLogins:
        """Those of one provider; the first when no name is given. Raises LoginRefused."""
        known = await self._all()
        if not known:
            raise LoginRefused("no OpenID provider is configured here")
        if not name:
            return next(iter(known.values()))
        found = known.get(name)
        if found is None:
            there = ", ".join(known)
            raise LoginRefused(f"there is no OpenID provider {name[:100]!r} here; there is {there}")
        return found

    async def any(self) -> bool:
        """Whether there is a provider."""
        return bool(await self._providers())

    async def bearer(self, id_token: str) -> str:
        """The name of the user whom an ID token is about, who has logged in before; empty when nobody
        is. Raises TokenRefused, ProviderUnavailable."""
        named = unverified_issuer(id_token)
        refused = TokenRefused(f"its issuer {named[:200]!r} is none of longshore.oidc")
        for logins in (await self._all()).values():
            if logins.settings.issuer != named:
                continue
            try:
                subject = await logins.subject(id_token)
            except TokenRefused as error:
                refused = error
                continue
            user = await self.accounts.known(logins.settings.account_name, subject)
            return "" if user is None else user.name
        raise refused

    async def close(self) -> None:
        """Close the connections."""
        for logins in (*self._known.values(), *self._former):
            await logins.provider.close()

    async def _all(self) -> Mapping[str, ProviderLogins]:
        wanted = await self._providers()
        if [logins.settings for logins in self._known.values()] == list(wanted):
            return self._known
        former, self._known = self._known, {}
        for settings in wanted:
            known = former.pop(settings.name, None)
            kept = known is not None and known.settings == settings
            self._known[settings.name] = known if known and kept else ProviderLogins(settings)
            if known is not None and not kept:
                former[settings.name] = known
        # Logins under way still ask those that have just been replaced: they are closed with the next change.
        closing, self._former = self._former, list(former.values())
        for logins in closing:
            await logins.provider.close()
        return self._known
