"""What ``longshore.app`` calls: the first start, and the controller."""

import asyncio
import secrets
import string
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from longshore.db.database import Connection, Database
from longshore.identity import store, validation
from longshore.identity.errors import IdentityError
from longshore.identity.model import ADMIN
from longshore.identity.settings import TokenServiceSettings
from longshore.oci.names import LIBRARY
from longshore.telemetry import clock

if TYPE_CHECKING:
    from longshore.access.settings import AccessSettings
    from longshore.db.encryption import Encryption
    from longshore.identity.authentication import Authenticator, IDTokens
    from longshore.identity.changes import Changes
    from longshore.identity.controller import ProjectController
    from longshore.identity.noticing import LoggedIn
    from longshore.identity.settings import Demand
    from longshore.identity.workloads import Workloads

DEFAULT_TOKENS: Final = TokenServiceSettings()
_ALPHABET: Final = string.ascii_letters + string.digits


def prepare(database: Database, password: str, say: Callable[[str], None] | None = None) -> None:
    """See to it that somebody can administer, and that there is a project: the user ``admin`` and the
    project ``library`` are made where there is no administrator and no project. Blocks.

    ``password`` is that of the user, empty for one that is made up and given to ``say`` once
    (standard error by default). Raises IdentityError for a password that is too easy.
    """
    asyncio.run(_prepare(database, password, say or _to_standard_error))


async def _prepare(database: Database, password: str, say: Callable[[str], None]) -> None:
    def lacks(connection: Connection) -> tuple[bool, bool]:
        return not store.has_administrator(connection), not store.has_project(connection)

    admin, project = await database.read(lacks)
    if not (admin or project):
        return
    from longshore.access import passwords

    chosen = password or _made_up()
    hashed = passwords.hash_argon2(_checked(chosen)) if admin else ""
    now = clock.timestamp()

    def make(connection: Connection) -> bool:
        made = admin and not store.has_administrator(connection)
        if made:
            store.add_user(connection, ADMIN, hashed, now, is_admin=True)
        if project and not store.has_project(connection):
            store.add_project(connection, LIBRARY, now, public=True)
        return made

    try:
        made = await database.write(make)
    except IdentityError:
        # Another node was quicker by a moment, or somebody without the right has the name.
        if await database.read(store.has_administrator):
            return
        raise
    if made and not password:
        say(
            f"The user {ADMIN} was made with the password {chosen}\n"
            "It is shown this once; change it with: longshore user passwd admin"
        )


def _checked(password: str) -> bytes:
    try:
        return validation.password(password)
    except IdentityError as error:
        raise IdentityError(f"longshore.admin.password: {error}") from error


def _made_up() -> str:
    """Twenty letters and digits, some of each kind: 115 bits and more."""
    while True:
        found = "".join(secrets.choice(_ALPHABET) for _ in range(20))
        try:
            validation.password(found)
        except IdentityError:
            continue
        return found


def _to_standard_error(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def create(
    database: Database,
    access: "AccessSettings",
    *,
    encryption: "Encryption",
    host: str,
    prefix: str,
    tokens: TokenServiceSettings = DEFAULT_TOKENS,
    read_only: bool = False,
    authenticators: "Sequence[Authenticator]" = (),
    changes: "Changes | None" = None,
    second_factor_for: "Demand" = "optional",
    token_lifetime: "Callable[[], Awaitable[float | None]] | None" = None,
    robot_prefix: "Callable[[], Awaitable[str]] | None" = None,
    workloads: "Workloads | None" = None,
    id_tokens: "IDTokens | None" = None,
    logged_in: "LoggedIn | None" = None,
) -> "ProjectController":
    """The controller; ``host`` and ``prefix`` as for ``longshore.access.controller``,
    ``authenticators`` beside the passwords of the database, ``workloads`` beside users, ``id_tokens`` for the management API.
    ``logged_in`` is told of every login. ``read_only``: nothing is remembered of logins, so there are no
    refresh tokens.
    Raises AccessError for settings of longshore.access that contradict roles."""
    from longshore.access.errors import AccessError
    from longshore.access.issuer import TokenIssuer
    from longshore.access.throttle import Backoff, Throttle
    from longshore.identity.changes import Changes
    from longshore.identity.controller import ProjectController
    from longshore.identity.lockout import Lockout
    from longshore.identity.noticing import unnoticed
    from longshore.identity.programs import harbors_prefix
    from longshore.identity.refreshing import RefreshTokens
    from longshore.identity.second_factor import SecondFactors
    from longshore.identity.signing import KeyRing
    from longshore.outbox.recording import Outbox

    if access.anonymouspull or access.rules:
        raise AccessError(
            "longshore.access.anonymouspull and rules have no effect beside auth.longshore, where "
            "projects are public and users have roles; remove them"
        )
    backoff = access.loginbackoff
    per_login = Backoff(backoff.attempts, backoff.longest)
    keys = KeyRing(database, encryption, tokens.algorithm)
    lockout = Lockout(database, changes, per_login) if changes and not read_only else None
    told = changes or Changes(database, Outbox(()))
    return ProjectController(
        database,
        TokenIssuer(keys, host=host, prefix=prefix, path=tokens.path, lifetime=tokens.lifetime),
        Throttle(per_login=per_login),
        keys=keys,
        second_factors=SecondFactors(database, encryption, told, lockout),
        second_factor_for=second_factor_for,
        refresh_tokens=(
            RefreshTokens(database, tokens.refreshlifetime)
            if tokens.refreshlifetime and not read_only
            else None
        ),
        authenticators=authenticators,
        lockout=lockout,
        token_lifetime=token_lifetime,
        robot_prefix=robot_prefix or harbors_prefix,
        notes=not read_only,
        workloads=workloads,
        id_tokens=id_tokens,
        logged_in=logged_in or unnoticed,
        seconds=access.credentialcache,
    )
