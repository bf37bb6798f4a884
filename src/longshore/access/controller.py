"""From settings to the one controller that decides about every request."""

import logging
import time
from collections.abc import Callable
from functools import partial

from longshore.access import htpasswd
from longshore.access.anonymous import AnonymousController
from longshore.access.basic import HtpasswdController
from longshore.access.bearer import TokenController, TokenServer
from longshore.access.credentials import Logins
from longshore.access.errors import AccessError
from longshore.access.issuer import SharedSecret, TokenIssuer
from longshore.access.keys import TrustedKeys, read_bundle, read_key_set
from longshore.access.model import AccessController, Action
from longshore.access.rules import LoginOpensAll, Policy, Rule, Rules
from longshore.access.settings import (
    AccessSettings,
    AuthSettings,
    HtpasswdSettings,
    SillySettings,
    TokenSettings,
)
from longshore.access.silly import SillyController
from longshore.access.throttle import Backoff, Throttle
from longshore.access.token import ALGORITHMS, TokenVerifier
from longshore.access.watched import WatchedFile

logger = logging.getLogger(__name__)


def create(
    auth: AuthSettings,
    access: AccessSettings,
    *,
    secret: bytes,
    host: str = "",
    prefix: str = "",
    dev: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
    clock: Callable[[], float] = time.time,
) -> AccessController:
    """The controller that ``auth`` and ``access`` describe; call its ``start`` before use.

    ``secret`` is the same in every process and on every node of the registry; tokens of the
    registry's own are signed with it. ``host`` is the registry's external URL (``http.host``),
    empty for whatever the client used; ``prefix`` the path below which the registry lies.
    ``monotonic`` and ``clock`` tell seconds since anything and POSIX seconds.

    Raises AccessError for settings that contradict each other.
    """
    if auth.longshore is not None:
        raise AccessError("auth.longshore needs the database: longshore.identity.install makes it")
    if auth.htpasswd is not None:
        policy = _policy(access)
        issuer = None
        if policy.admits_anonymous:
            # Only where some things need no login is Basic not enough: longshore.access.issuer.
            issuer = TokenIssuer(SharedSecret(secret), host=host, prefix=prefix, clock=clock)
        logins = _logins(auth.htpasswd, access, monotonic)
        return HtpasswdController(auth.htpasswd.realm, logins, policy, issuer=issuer, clock=clock)
    if auth.token is not None:
        return _token(auth.token, access, monotonic, clock)
    if auth.silly is not None:
        return _silly(auth.silly, access, dev)
    if access.anonymouspull:
        logger.warning(
            "longshore.access.anonymouspull has no effect without auth: everybody may push too"
        )
    return AnonymousController(_policy(access) if access.rules else None)


def _policy(access: AccessSettings) -> Policy:
    if not access.rules:
        return LoginOpensAll(access.anonymouspull)
    return Rules(
        [
            Rule(rule.repository, rule.users, frozenset(Action(name) for name in rule.actions))
            for rule in access.rules
        ]
    )


def _logins(
    settings: HtpasswdSettings, access: AccessSettings, monotonic: Callable[[], float]
) -> Logins:
    backoff = Backoff(access.loginbackoff.attempts, access.loginbackoff.longest)
    return Logins(
        WatchedFile(settings.path, partial(htpasswd.parse, path=settings.path), clock=monotonic),
        throttle=Throttle(per_login=backoff, clock=monotonic),
        seconds=access.credentialcache,
        clock=monotonic,
    )


def _token(
    settings: TokenSettings,
    access: AccessSettings,
    monotonic: Callable[[], float],
    clock: Callable[[], float],
) -> AccessController:
    if access.rules:
        raise AccessError(
            "longshore.access.rules are given beside auth.token, where the token server decides "
            "who may do what; remove the rules, or use auth.htpasswd"
        )
    files: list[WatchedFile[TrustedKeys]] = [
        WatchedFile(path, partial(read, path=path), clock=monotonic)
        for path, read in (
            (settings.rootcertbundle, read_bundle),
            (settings.jwks, read_key_set),
        )
        if path is not None
    ]
    redirect_path = settings.autoredirectpath if settings.autoredirect else ""
    return TokenController(
        TokenServer(settings.realm, settings.service, redirect_path),
        TokenVerifier(
            settings.issuer,
            settings.service,
            settings.signingalgorithms or ALGORITHMS,
            clock=clock,
        ),
        files,
        anonymous_pull=access.anonymouspull,
        clock=clock,
    )


def _silly(settings: SillySettings, access: AccessSettings, dev: bool) -> AccessController:
    if not dev:
        raise AccessError(
            "auth.silly lets in whoever sends any Authorization header; it is for development: "
            "start with --dev, or use auth.htpasswd"
        )
    if access.anonymouspull or access.rules:
        raise AccessError("longshore.access has no effect beside auth.silly; remove it")
    return SillyController(settings.realm, settings.service)
