"""Access for the users of the database: auth.longshore of config.yml."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from cachetools import LRUCache

from longshore.access import challenge, header, refusals
from longshore.access.grant import (
    ACCESS_TOKEN,
    REFRESH_TOKEN,
    Asking,
    PasswordGrant,
    no_refresh_tokens,
)
from longshore.access.grant import Grant as TokenGrant
from longshore.access.header import Login, Unreadable
from longshore.access.issuer import SERVICE, TokenIssuer, granted
from longshore.access.model import ANONYMOUS, Access, AccessController, Action, Grant, Principal
from longshore.access.proofs import Proofs
from longshore.access.rules import missing
from longshore.access.throttle import Throttle
from longshore.access.token import InvalidToken, Token
from longshore.db.database import Database
from longshore.db.generation import Generation
from longshore.http.request import Request
from longshore.identity import access_tokens, entrance, robots, scopes, store
from longshore.identity.authentication import Authenticator, IDTokens, Proof
from longshore.identity.decisions import Decisions
from longshore.identity.lockout import Lockout
from longshore.identity.login_proofs import LoginProofs
from longshore.identity.model import Standing
from longshore.identity.naming import canonical_rights
from longshore.identity.noticing import LoggedIn, unnoticed
from longshore.identity.programs import harbors_prefix
from longshore.identity.refreshing import RefreshTokens
from longshore.identity.rights import Rights
from longshore.identity.second_factor import SecondFactorNeeded, SecondFactors
from longshore.identity.settings import Demand
from longshore.identity.signing import KeyRing
from longshore.identity.standings import Standings
from longshore.identity.workloads import (
    PREFIX,
    Workload,
    WorkloadRefused,
    WorkloadRights,
    Workloads,
)
from longshore.oci.errors import Unauthorized, Unavailable
from longshore.oci.names import namespace_of
from longshore.openid.errors import ProviderUnavailable, TokenRefused

_METHOD: Final = "longshore"
_WORKLOAD: Final = "workload"
_COMMAND: Final = "longshore user passwd"
_EACH: Final = "name and password with each request"
_ROBOT_COMMAND: Final = "longshore robot rotate"
_TOKENS: Final = 8192


@dataclass(frozen=True, slots=True)
class _Identity:
    """Who sent a request, as the database has them before the first project that it is about, and the
    ``seal`` of what they proved it with; ``token`` when one said so; ``expired`` when that one had ended. A
    ``workload`` has the standing of nobody, and what its rules allow."""

    standing: Standing
    token: Token | None = None
    expired: bool = False
    workload: Workload | None = None
    seal: str = ""

    @property
    def until(self) -> float:
        """When what this says ends by itself, in POSIX seconds; at once for workloads, whose rules and
        credentials are looked at each time."""
        if self.workload is not None or self.expired:
            return 0.0
        ends = self.standing.changes_at
        return ends if self.token is None else min(ends, self.token.expires)

    @property
    def principal(self) -> Principal:
        if self.workload is not None:
            return Principal(self.workload.name, _WORKLOAD)
        name = self.standing.user
        return Principal(name, _METHOD) if name else ANONYMOUS


class ProjectController(AccessController):
    """Users log in with a password, at each request or for a token; their roles in projects say what
    they may do. Whatever was proved counts only while the database has the same password for an
    enabled user, which every request looks at: a change counts at once, on every node."""

    def __init__(
        self,
        database: Database,
        issuer: TokenIssuer,
        throttle: Throttle,
        *,
        keys: KeyRing,
        second_factors: SecondFactors,
        second_factor_for: Demand = "optional",
        refresh_tokens: RefreshTokens | None = None,
        authenticators: Sequence[Authenticator] = (),
        workloads: Workloads | None = None,
        id_tokens: IDTokens | None = None,
        lockout: Lockout | None = None,
        token_lifetime: Callable[[], Awaitable[float | None]] | None = None,
        logged_in: LoggedIn = unnoticed,
        robot_prefix: Callable[[], Awaitable[str]] = harbors_prefix,
        notes: bool = True,
        seconds: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``keys`` are those of ``issuer``. ``second_factor_for`` says who needs a second factor to log in with a
        password. Without ``refresh_tokens`` none are given or taken.
        ``authenticators`` are asked after the passwords of the database; ``workloads`` about logins that
        are no user's. A password that was right is remembered for ``seconds``. ``lockout`` counts misses
        for all processes, beside ``throttle``. ``token_lifetime`` tells how many seconds a token lasts, None as the issuer says.
        ``logged_in`` is told of every login. ``robot_prefix`` and ``notes`` as for :class:`Programs`. ``clock`` tells POSIX seconds."""
        # Public projects need no login, so the challenge is Bearer: longshore.access.issuer.
        self.issuer: TokenIssuer | None = issuer
        self._issuer = issuer
        self._keys = keys
        self.second_factors = second_factors
        self._second_factor_for = second_factor_for
        self._refresh_tokens = refresh_tokens
        self._database = database
        self._clock = clock
        self._standings = Standings(database, clock=clock)
        self._decisions = Decisions(monotonic=monotonic, clock=clock)
        self._token_lifetime = token_lifetime
        self._logged_in = logged_in
        self._proofs = LoginProofs(
            database,
            self._standings,
            throttle,
            lockout,
            authenticators,
            robot_prefix=robot_prefix,
            notes=notes,
            seconds=seconds,
            monotonic=monotonic,
            clock=clock,
        )
        self._tokens: Proofs[Token] = Proofs(LRUCache(_TOKENS))
        self._workloads = workloads
        self._id_tokens = id_tokens

    async def start(self) -> None:
        await self._keys.start()
        await self._proofs.start()
        if self._workloads is not None:
            await self._workloads.start()

    async def stop(self) -> None:
        if self._workloads is not None:
            await self._workloads.stop()
        if self._id_tokens is not None:
            await self._id_tokens.close()
        await self._proofs.stop()

    async def authorize(
        self, request: Request, wanted: Sequence[Access], *, upload_owner: str | None = None
    ) -> Grant:
        if request.as_of is None:
            request.as_of = await self._database.generation()
        if upload_owner is not None or request.as_of is None:
            grant, _ = await self._decide(request, wanted, upload_owner)
            return grant
        current = request.as_of.rights
        login = self._proofs.key(header.authorization(request))
        key = (login, request.exchange.client, tuple(wanted))
        known = self._decisions.find(key, current)
        if known is not None:
            request.exchange.user = known.principal.name
            return known
        grant, until = await self._decide(request, wanted, None)
        self._decisions.remember(key, grant, current, until)
        return grant

    async def _decide(
        self,
        request: Request,
        wanted: Sequence[Access],
        upload_owner: str | None,
    ) -> tuple[Grant, float]:
        """The grant, and when it ends at the latest (POSIX seconds). Raises what ``authorize`` does."""
        projects = scopes.projects((access.type, access.name) for access in wanted)
        identity = await self._identify(request, wanted, projects[0], upload_owner)
        principal, token = identity.principal, identity.token
        request.exchange.user = principal.name
        if token is None and not principal.is_anonymous:
            self._logged_in(principal.name, _EACH, request.exchange)
        rights = await self._rights(identity, projects)
        lacking = missing(rights, principal, wanted)
        if lacking and not principal.is_anonymous:
            raise rights.refusal(request, principal, wanted, lacking)
        if lacking:
            raise rights.login_needed(request, wanted, self._challenge(request, wanted))
        if token is not None and (uncovered := token.missing(scopes.canonical_accesses(wanted))):
            raise refusals.unauthorized(
                f"the token does not cover: {refusals.describe(uncovered)}; "
                f"ask for one with that scope, or log in: docker login {refusals.host(request)}",
                wanted,
                self._challenge(request, wanted, "insufficient_scope"),
            )
        if principal.is_anonymous and not (wanted or token):
            raise rights.login_needed(request, wanted, self._challenge(request, wanted))
        # What begins and ends in other projects is looked at each time.
        until = identity.until if len(projects) == 1 else 0.0
        return Grant(principal, identity.expired), until

    async def recognise(self, request: Request) -> Standing:
        """Who sent a request of the management API with a Basic login or an ID token, before no project;
        nobody without one. Raises Unauthorized."""
        value = header.authorization(request)
        login: Login | Unreadable | None = None
        if header.is_bearer(value):
            text = header.parse_token(value)
            if access_tokens.is_one(text.encode()):
                login = Login("", text.encode())
            elif self._id_tokens is not None and await self._id_tokens.any():
                return await self._by_id_token(request, self._id_tokens, text)
        elif value:
            login = header.parse_login(value)
        if login is None:
            return await self._standings.of("", "")
        ask = challenge.basic(SERVICE)
        standing = await self._log_in(request, value, login, "", (), ask)
        entrance.let_in(request, standing, (), ask)
        self._logged_in(standing.user, _EACH, request.exchange)
        return standing

    async def _by_id_token(self, request: Request, tokens: IDTokens, text: str) -> Standing:
        ask = challenge.basic(SERVICE)
        try:
            user = await tokens.bearer(text)
        except TokenRefused as error:
            raise refusals.token_refused(request, error, (), ask) from error
        except ProviderUnavailable as error:
            raise Unavailable(f"the token cannot be verified now: {error}") from error
        standing = await self._standings.of(user, "")
        if not user or not standing.seal:
            raise refusals.unauthorized(
                "the token is good, but nobody has logged in with that account yet: log in with a browser "
                "or with: longshore login --device",
                (),
                ask,
            )
        entrance.let_in(request, standing, (), ask)
        self._logged_in(user, "with an ID token of a provider", request.exchange)
        return standing

    async def refresh_token(self, request: Request, user: str) -> str | None:
        """What stands for a password of ``user``, who has proved who they are just now in another way;
        None where there are no refresh tokens."""
        if self._refresh_tokens is None:
            return None
        standing = await self._standings.of(user, "")
        asking = Asking(service=SERVICE, client_id="longshore login --device")
        return await self._refresh_tokens.give(standing, asking, request.exchange.client)

    async def log_in(self, request: Request, login: Login, code: str) -> Standing:
        """Whose name, password and second factor that is, for a session; ``code`` may be empty where there is
        no second factor. Raises SecondFactorNeeded when it is empty where there is one, and what
        :meth:`prove_password` does."""
        standing = await self.prove_password(request, login)
        if not standing.second_factor:
            return standing
        if not code:
            raise SecondFactorNeeded(
                f"user {refusals.shown(standing.user)} has a second factor: send the code that the device "
                "shows, or a recovery code, as the field code, too"
            )
        client = request.exchange.client
        await self.second_factors.spend(standing.user_id, standing.user, code, client)
        await self._proofs.forget_misses(login.user, client)
        return standing

    async def prove_password(self, request: Request, login: Login) -> Standing:
        """Whose name and password that is: users only, and with their passwords only. Nobody is let in for
        that alone who has a second factor. Raises Unauthorized, without a challenge, TooManyRequests, and
        Unavailable."""
        value = b"session %s\0%s" % (login.user.encode(), login.password)
        try:
            proof, standing = await self._proved(request, value, login, "", (), "")
            entrance.let_in(request, standing, (), "")
        except Unauthorized as error:
            # A challenge would make browsers ask in a window of their own.
            raise Unauthorized(error.message) from error
        if not proof.by_password or not standing.user_id:
            raise Unauthorized(
                f"{refusals.shown(login.user)} cannot open a session: robots and tokens send what they have "
                "with every request (Basic)"
            )
        return standing

    async def standing(self, user: str, project: str) -> Standing:
        """``user`` before ``project``, now."""
        return await self._standings.of(user, project)

    def lacks_second_factor(self, standing: Standing) -> bool:
        """Whether a user may do nothing with their password but enrol a second factor."""
        return not standing.second_factor and self.demands_second_factor(standing.is_admin)

    def demands_second_factor(self, is_admin: bool) -> bool:
        """Whether users need a second factor who log in with a password, or administrators do."""
        demand = self._second_factor_for
        return demand == "everybody" or (is_admin and demand == "administrators")

    async def readable(self, request: Request, names: Sequence[str]) -> Sequence[str]:
        standing = (await self._identify(request, (), "", None)).standing
        if standing.is_admin:
            return names
        among = {namespace_of(name) for name in names}
        found = await self._database.read(partial(store.standings, user=standing.user, among=among))
        return [name for name in names if Action.PULL in found[namespace_of(name)].actions_in(name)]

    async def token(self, issuer: TokenIssuer, request: Request, asking: Asking) -> dict[str, Any]:
        """The token endpoint's reply to GET: a token for as much of the asked scopes as the user,
        or anybody, may have. Raises Unauthorized for a wrong password."""
        value = header.authorization(request)
        return await self._for_login(issuer, request, value, header.parse_login(value), asking)

    async def grant(
        self, issuer: TokenIssuer, request: Request, asked: TokenGrant
    ) -> dict[str, Any]:
        """The same for POST, whose body is ``asked``. Raises Unauthorized for a refresh token that has
        ended, too."""
        if isinstance(asked, PasswordGrant):
            reply = await self._for_login(issuer, request, asked.value, asked.login, asked.asking)
            return {**reply, **_exchanged(asked, reply)} if asked.exchange else reply
        if self._refresh_tokens is None:
            raise no_refresh_tokens(request)
        ask, asking = challenge.basic(SERVICE), asked.asking
        found = await self._refresh_tokens.find(asked.refresh_token, asking.service)
        standing = None
        if found is not None:
            projects = scopes.projects(scopes.asked(asking))
            standing = await self._standings.of(found.user, projects[0])
            if not standing.has_sealed(found.seal):
                standing = None
        if found is None or standing is None:
            raise refusals.unauthorized(
                "the refresh token (identity token) is not valid: it was not used for too long, was revoked, "
                "or its user has a new password or second factor; log in again with: docker login "
                f"{refusals.host(request)}",
                (),
                ask,
            )
        entrance.let_in(request, standing, (), ask)
        await self._refresh_tokens.used(found)
        return await self._issue(issuer, request, _Identity(standing, seal=found.seal), asking)

    async def _for_login(
        self,
        issuer: TokenIssuer,
        request: Request,
        value: bytes,
        login: Login | Unreadable | None,
        asking: Asking,
    ) -> dict[str, Any]:
        first = scopes.projects(scopes.asked(asking))[0]
        if login is None:
            nobody = _Identity(await self._standings.of("", first))
            return await self._issue(issuer, request, nobody, asking)
        ask = challenge.basic(SERVICE)
        workload = await self._admitted(login, (), ask)
        if workload is not None:
            identity = _Identity(await self._standings.of("", first), workload=workload)
            reply = await self._issue(issuer, request, identity, asking)
            if asking.offline:
                reply["refresh_token"] = workload.credential
                reply["refresh_expires_in"] = max(0, int(workload.expires - self._clock()))
            return reply
        proof, standing = await self._proved(request, value, login, first, (), ask)
        self._demand_more(request, proof, standing, (), ask)
        entrance.let_in(request, standing, (), ask)
        identity = _Identity(standing, seal=proof.seal)
        reply = await self._issue(issuer, request, identity, asking)
        if asking.offline and proof.renewable and self._refresh_tokens is not None:
            client = request.exchange.client
            reply["refresh_token"] = await self._refresh_tokens.give(standing, asking, client)
        return reply

    async def _issue(
        self, issuer: TokenIssuer, request: Request, identity: _Identity, asking: Asking
    ) -> dict[str, Any]:
        wanted = scopes.asked(asking)
        principal, workload = identity.principal, identity.workload
        request.exchange.user = principal.name
        if not principal.is_anonymous:
            self._logged_in(principal.name, "for a token of the registry", request.exchange)
        rights = await self._rights(identity, scopes.projects(wanted))
        seal = identity.seal if workload is None else workload.record
        lifetime = await self._token_lifetime() if self._token_lifetime is not None else None
        return await issuer.issue(
            principal, seal, granted(rights, principal, wanted), lifetime=lifetime
        )

    async def _rights(
        self, identity: _Identity, projects: Sequence[str]
    ) -> Rights | WorkloadRights:
        first = identity.standing
        others = [await self._standings.of(first.user, project) for project in projects[1:]]
        if identity.workload is not None:
            return WorkloadRights(identity.workload, [first, *others])
        return Rights([first, *others])

    async def _identify(
        self, request: Request, wanted: Sequence[Access], project: str, upload_owner: str | None
    ) -> _Identity:
        value = header.authorization(request)
        if header.is_bearer(value):
            return await self._by_token(request, wanted, value, project, upload_owner)
        standing = await self._remembered(request, value, project, wanted) if value else None
        if standing is None:
            login = header.parse_login(value)
            if login is None:
                return _Identity(await self._standings.of("", project, request.as_of))
            ask = self._challenge(request, wanted)
            workload = await self._admitted(login, wanted, ask)
            if workload is not None:
                nobody = await self._standings.of("", project, request.as_of)
                return _Identity(nobody, workload=workload)
            standing = await self._log_in(request, value, login, project, wanted, ask)
        if entrance.barred(request, standing) is not None:
            entrance.let_in(request, standing, wanted, self._challenge(request, wanted))
        return _Identity(standing)

    async def _admitted(
        self, login: Login | Unreadable, wanted: Sequence[Access], ask: str
    ) -> Workload | None:
        """Which workload logs in; None when it is a user, or nobody. Raises Unauthorized."""
        workloads = self._workloads
        if workloads is None or isinstance(login, Unreadable) or not workloads.knows(login):
            return None
        # Not slowed down: there is nothing to guess, and many pipelines share an address.
        try:
            return await workloads.admit(login)
        except WorkloadRefused as error:
            raise refusals.unauthorized(f"authentication failed: {error}", wanted, ask) from error

    async def _remembered(
        self, request: Request, value: bytes, project: str, wanted: Sequence[Access]
    ) -> Standing | None:
        """The standing before ``project`` of whose password the header ``value`` holds, if that was
        proved before and is still the password. Raises Unauthorized when that is not enough."""
        proof = self._proofs.known(value)
        standing = None if proof is None else await self._sealed(proof, project, request.as_of)
        if proof is not None and standing is not None and self._is_bare(proof, standing):
            ask = self._challenge(request, wanted)
            self._demand_more(request, proof, standing, wanted, ask)
        return standing

    def _is_bare(self, proof: Proof, standing: Standing) -> bool:
        """Whether that is a password where one is not enough."""
        return proof.by_password and (standing.second_factor or self.lacks_second_factor(standing))

    def _demand_more(
        self,
        request: Request,
        proof: Proof,
        standing: Standing,
        wanted: Sequence[Access],
        ask: str,
    ) -> None:
        """Raises Unauthorized for a password where one is not enough. Only who has the right one is told."""
        if not self._is_bare(proof, standing):
            return
        who = f"the password of user {refusals.shown(standing.user)} is right, but "
        if standing.second_factor:
            why = "they have a second factor, so that it opens nothing alone: "
        else:
            why = (
                "the registry asks for a second factor (longshore.logins.secondfactor) that they have not "
                "enrolled yet: log in with a browser to do that; "
            )
        raise refusals.unauthorized(
            f"{who}{why}docker and other programs send an access token in the place of the password, which the "
            "user makes in a session: POST /api/longshore/v1/tokens",
            wanted,
            ask,
        )

    async def _sealed(
        self, proof: Proof, project: str, as_of: Generation | None = None
    ) -> Standing | None:
        standing = await self._standings.of(proof.user, project, as_of)
        return standing if standing.has_sealed(proof.seal) else None

    async def _log_in(
        self,
        request: Request,
        value: bytes,
        login: Login | Unreadable,
        project: str,
        wanted: Sequence[Access],
        ask: str,
    ) -> Standing:
        proof, standing = await self._proved(request, value, login, project, wanted, ask)
        self._demand_more(request, proof, standing, wanted, ask)
        return standing

    async def _proved(
        self,
        request: Request,
        value: bytes,
        login: Login | Unreadable,
        project: str,
        wanted: Sequence[Access],
        ask: str,
    ) -> tuple[Proof, Standing]:
        if isinstance(login, Unreadable):
            raise refusals.unreadable(request, login.reason, wanted, ask)
        proof = self._proofs.known(value)
        standing = None if proof is None else await self._sealed(proof, project)
        if standing is None:
            proof = await self._proofs.prove(value, login, request.exchange.client)
            standing = None if proof is None else await self._sealed(proof, project)
        if proof is None or standing is None:
            is_robot = robots.spelled(login.user) is not None
            command = _ROBOT_COMMAND if is_robot else _COMMAND
            raise refusals.login_failed(request, login.user, wanted, ask, command=command)
        return proof, standing

    async def _by_token(
        self,
        request: Request,
        wanted: Sequence[Access],
        value: bytes,
        project: str,
        upload_owner: str | None,
    ) -> _Identity:
        try:
            token, standing, workload = await self._verified(value, project, request.as_of)
            expired = token.overdue(self._clock(), upload_owner)
            entrance.still_let_in(request, standing)
        except InvalidToken as error:
            raise refusals.token_refused(
                request, error, wanted, self._challenge(request, wanted, "invalid_token")
            ) from error
        return _Identity(standing, token, expired, workload)

    async def _verified(
        self, value: bytes, project: str, as_of: Generation | None
    ) -> tuple[Token, Standing, Workload | None]:
        """The token in a header, as long as its user is let in with the password it was issued for."""
        await self._issuer.fresh()
        key = self._tokens.key(value)
        token = self._tokens.find(key, self._issuer.generation)
        if token is None:
            verified = await self._issuer.verify(header.parse_token(value))
            token = replace(verified, rights=canonical_rights(verified.rights))
            self._tokens.remember(key, self._issuer.generation, token)
        if token.subject.startswith(PREFIX):
            return token, await self._standings.of("", project, as_of), self._recalled(token)
        standing = await self._standings.of(token.subject, project, as_of)
        if not standing.has_sealed(token.seal) or (token.subject and not token.seal):
            raise InvalidToken(
                "its user was removed, or has a new password or second factor, since"
            )
        return token, standing, None

    def _recalled(self, token: Token) -> Workload:
        if self._workloads is None:
            raise InvalidToken("it is of a pipeline, and longshore.workload is empty now")
        try:
            return self._workloads.recall(token.seal)
        except WorkloadRefused as error:
            raise InvalidToken(str(error)) from error

    def _challenge(
        self,
        request: Request,
        wanted: Sequence[Access],
        fault: challenge.TokenFault | None = None,
    ) -> str:
        return challenge.bearer(self._issuer.realm(request), SERVICE, wanted, fault)


def _exchanged(asked: PasswordGrant, reply: dict[str, Any]) -> dict[str, Any]:
    """What RFC 8693 section 2.2.1 adds to a reply."""
    if asked.exchange == REFRESH_TOKEN and "refresh_token" in reply:
        return {
            "access_token": reply["refresh_token"],
            "expires_in": reply["refresh_expires_in"],
            "issued_token_type": REFRESH_TOKEN,
            "token_type": "N_A",
        }
    return {"issued_token_type": ACCESS_TOKEN, "token_type": "Bearer"}
