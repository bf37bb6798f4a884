"""Second factors: codes that a device makes of a secret and the time (TOTP, RFC 6238), beside a password.

As authenticator programs have it whatever they are told: SHA-1, six digits, a step of 30 seconds. A code is
taken once (section 5.2), at whichever node, and one step early or late. In the place of a code goes a
recovery code: ten of them, each once, kept as hashes.

A secret is shown once, when it is made, and counts when a code has shown that it arrived. Then, and when it goes,
everything ends that was proved before: what only the password opened must not outlive that it is not enough. Access
tokens and robots go on: no password opened them.
"""

import base64
import binascii
import hashlib
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Final

from longshore.access.refusals import shown
from longshore.db.database import Connection, Database
from longshore.db.encryption import Encryption
from longshore.identity import store
from longshore.identity.changes import Changes, ManagementChange
from longshore.identity.errors import IdentityError, Missing
from longshore.identity.lockout import Lockout
from longshore.identity.model import SecondFactor
from longshore.oci.errors import Unauthorized
from longshore.outbox.model import Event, Origin
from longshore.telemetry import clock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

#: Seconds that a code is for.
STEP: Final = 30
#: Steps that a device's clock may be ahead or behind (RFC 6238 section 5.2 recommends one).
DRIFT: Final = 1
#: Seconds in which a new secret has to be confirmed.
UNCONFIRMED: Final = 3600.0
RECOVERY_CODES: Final = 10
_DIGITS: Final = 6
#: Bytes: RFC 4226 section 4, requirement 6, recommends 160 bits.
_SECRET: Final = 20
#: Bytes of a recovery code: nothing that its hash could be searched for.
_RECOVERY: Final = 10
_LONGEST: Final = 64


class SecondFactorNeeded(Unauthorized):
    """The password is right, and not enough."""

    code = "SECOND_FACTOR_NEEDED"


class SecondFactorNotEnrolled(Unauthorized):
    """Who logged in has no second factor, and needs one for anything but enrolling it."""

    code = "SECOND_FACTOR_NOT_ENROLLED"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a device is told, once: ``secret`` is Base32, ``uri`` holds the same for a QR code."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class _Taken(Enum):
    CODE = "a code"
    RECOVERY_CODE = "a recovery code"
    WRONG = "wrong"
    SPENT = "used before"


@dataclass(frozen=True, slots=True)
class SecondFactors:
    """Those of all users. ``lockout`` counts wrong codes as it counts wrong passwords; without it nobody is
    counted, where nothing is remembered of logins."""

    database: Database
    encryption: Encryption
    changes: Changes
    lockout: Lockout | None

    async def find(self, user_id: int) -> tuple[SecondFactor | None, int]:
        """That of a user, confirmed or not, and how many recovery codes are left."""

        def find(connection: Connection) -> tuple[SecondFactor | None, int]:
            found = store.find_second_factor(connection, user_id)
            return found, store.count_recovery_codes(connection, user_id) if found else 0

        return await self.database.read(find)

    async def begin(self, user_id: int, user: str, issuer: str, origin: Origin) -> Enrolment:
        """A secret for a user's device, which shows it as that of ``user`` at ``issuer``. It counts when
        :meth:`confirm` was called. Raises Taken when there is one that counts."""
        secret = secrets.token_bytes(_SECRET)
        encrypted = self.encryption.encrypt(base64.b32encode(secret).decode())
        # A colon separates the two in the URI.
        uri = _totp(secret).get_provisioning_uri(user, issuer.partition(":")[0])
        await self.changes.make(
            partial(store.begin_second_factor, user_id=user_id, secret=encrypted),
            "update",
            "user",
            user,
            description="a second factor was begun",
            origin=origin,
        )
        return Enrolment(base64.b32encode(secret).decode(), uri)

    async def confirm(self, user_id: int, user: str, code: str, origin: Origin) -> Sequence[str]:
        """From now on the user needs a code; the recovery codes, shown this once. Everything that was proved
        as the user has ended. Raises Missing when nothing was begun, IdentityError for a wrong code."""
        found, _ = await self.find(user_id)
        now = clock.timestamp()
        if found is None or found.confirmed_at or found.created_at < now - UNCONFIRMED:
            raise Missing("there is no second factor to confirm: begin with one")
        if await self._take(user_id, user, code, origin.address) is not _Taken.CODE:
            raise IdentityError(
                "that is not the code which a device with this secret shows now; is its clock right?"
            )
        codes = _recovery_codes()
        work = partial(store.confirm_second_factor, user_id=user_id, hashes=_hashes(user_id, codes))
        await self._change(work, user, "has a second factor from now on", origin)
        return codes

    async def spend(self, user_id: int, user: str, code: str, client: str) -> None:
        """Take a code or a recovery code of a user whose password was right. Raises Unauthorized when it is
        none or was taken before, and TooManyRequests."""
        taken = await self._take(user_id, user, code, client)
        if taken is _Taken.SPENT:
            raise Unauthorized(
                f"this code was used already, and each is good for one login: wait up to {STEP} s for the next"
            )
        if taken is _Taken.WRONG:
            raise Unauthorized(
                f"the code is wrong: send the {_DIGITS} digits that the device shows now (is its clock right?), "
                "or a recovery code that was not used yet"
            )

    async def renew_recovery_codes(self, user_id: int, user: str, origin: Origin) -> Sequence[str]:
        """New ones, shown this once; those of before count no longer. Raises Missing when the user has no
        second factor."""
        codes = _recovery_codes()

        def renew(connection: Connection) -> None:
            found = store.find_second_factor(connection, user_id, hold=True)
            if found is None or found.confirmed_at is None:
                raise Missing(f"user {shown(user)} has no second factor")
            store.set_recovery_codes(connection, user_id, _hashes(user_id, codes))

        await self._change(renew, user, "has new recovery codes", origin)
        return codes

    async def remove(self, user_id: int, user: str, origin: Origin) -> None:
        """A password is enough again; everything that was proved as the user has ended. Raises Missing when
        the user has no second factor."""
        work = partial(store.remove_second_factor, user_id=user_id)
        await self._change(work, user, "has no second factor any more", origin)

    async def _change(
        self, work: Callable[[Connection], None], user: str, what: str, origin: Origin
    ) -> None:
        await self.changes.make(work, "update", "user", user, description=what, origin=origin)

    async def _take(self, user_id: int, user: str, code: str, client: str) -> _Taken:
        """One transaction that looks whether it is too soon, takes the code, and counts a miss: guesses that
        arrive together are looked at one after another, whichever nodes they arrive at."""
        now, left = clock.timestamp(), 0

        def take(connection: Connection) -> _Taken:
            nonlocal left
            found = store.find_second_factor(connection, user_id, hold=True)
            if self.lockout is not None:
                self.lockout.admitted(connection, user, client)
            taken = _Taken.WRONG if found is None else self._taken(connection, found, code, now)
            if self.lockout is not None and taken in (_Taken.WRONG, _Taken.SPENT):
                self.lockout.missed(connection, user, client)
            left = store.count_recovery_codes(connection, user_id)
            return taken

        def told(taken: _Taken) -> Sequence[Event]:
            if taken is not _Taken.RECOVERY_CODE:
                return []
            return [
                ManagementChange(
                    at=now,
                    origin=Origin(user, client),
                    operation="update",
                    resource_type="user",
                    resource=user,
                    description=f"used a recovery code; {left} are left",
                )
            ]

        taken = await self.changes.telling(take, told)
        if self.lockout is not None:
            if taken in (_Taken.WRONG, _Taken.SPENT):
                what = "wrong code" if taken is _Taken.WRONG else "a code that was used before"
                await self.lockout.tell(user, client, f"{what} of the second factor")
            else:
                await self.lockout.succeeded(user, client)
        return taken

    def _taken(self, connection: Connection, factor: SecondFactor, code: str, now: float) -> _Taken:
        bare = "".join(code[:_LONGEST].split()).replace("-", "").upper()
        if len(bare) == _DIGITS and bare.isascii() and bare.isdigit():
            secret = base64.b32decode(self.encryption.decrypt(factor.secret))
            step = _step(secret, bare, now)
            if step is None:
                return _Taken.WRONG
            fresh = store.spend_step(connection, factor.user_id, step)
            return _Taken.CODE if fresh else _Taken.SPENT
        if factor.confirmed_at is not None and _is_recovery_code(bare):
            hashed = _hash(factor.user_id, bare)
            if store.spend_recovery_code(connection, factor.user_id, hashed):
                return _Taken.RECOVERY_CODE
        return _Taken.WRONG


def code_at(secret: str, moment: float) -> str:
    """The code that a device shows at ``moment`` (POSIX seconds) for a secret in Base32."""
    return _totp(base64.b32decode(secret)).generate(moment).decode()


def _step(secret: bytes, code: str, now: float) -> int | None:
    """The step near ``now`` whose code that is, the earliest; None when there is none."""
    totp, current = _totp(secret), math.floor(now / STEP)
    steps = range(max(0, current - DRIFT), current + DRIFT + 1)
    fits = [secrets.compare_digest(totp.generate(step * STEP), code.encode()) for step in steps]
    return next((step for step, fit in zip(steps, fits, strict=True) if fit), None)


def _totp(secret: bytes) -> "TOTP":
    # Here, because a registry where nobody has a second factor does not pay for the library at its start.
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

    return TOTP(secret, _DIGITS, SHA1(), STEP)  # noqa: S303 - HMAC of it, as the devices have it


def _recovery_codes() -> list[str]:
    """Base32 in groups of four: 80 random bits each."""
    made = [
        base64.b32encode(secrets.token_bytes(_RECOVERY)).decode() for _ in range(RECOVERY_CODES)
    ]
    return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in made]


def _is_recovery_code(bare: str) -> bool:
    try:
        return len(base64.b32decode(bare)) == _RECOVERY
    except (binascii.Error, ValueError):
        return False


def _hashes(user_id: int, codes: Sequence[str]) -> list[str]:
    return [_hash(user_id, code.replace("-", "")) for code in codes]


def _hash(user_id: int, bare: str) -> str:
    """80 random bits: a fast hash is enough."""
    return hashlib.sha256(f"{user_id}:{bare}".encode()).hexdigest()
