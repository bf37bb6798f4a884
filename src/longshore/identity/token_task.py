"""The job that replaces signing keys in time and forgets what has ended."""

from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio.to_thread

from longshore.access.key_pairs import Algorithm
from longshore.db.database import Connection, Database
from longshore.db.encryption import Encryption
from longshore.identity import store
from longshore.identity.lockout import FORGET, KNOWN
from longshore.identity.second_factor import UNCONFIRMED
from longshore.identity.signing import LEAD, make_key, useless
from longshore.jobs.model import JobContext
from longshore.telemetry import clock

KIND: Final = "tokens"
#: How often it looks, in seconds.
INTERVAL: Final = 3600.0
#: A session that was not used for so long has ended, whatever the settings say, in seconds.
_FORGOTTEN: Final = 31 * 86400.0


@dataclass(frozen=True, slots=True)
class TokenUpkeep:
    """The task. ``key_lifetime`` is how long a key signs, in seconds; 0 is for ever."""

    database: Database
    encryption: Encryption
    algorithm: Algorithm = "ES256"
    key_lifetime: float = 0.0
    kind: str = KIND
    concurrency: int = 1

    async def run(self, context: JobContext) -> None:
        """Add a key when the newest is old, remove those that nothing needs, and expired refresh tokens."""
        now = clock.timestamp()
        keys = await self.database.read(store.list_signing_keys)
        if self.key_lifetime and keys and keys[-1].signs_from + self.key_lifetime <= now + LEAD:
            make = partial(make_key, self.algorithm, self.encryption, now, LEAD)
            made = await anyio.to_thread.run_sync(make)
            await self.database.write(partial(store.add_signing_key, key=made))
            await context.log(f"the key {made.kid} will sign tokens in {LEAD / 60:.0f} minutes")

        def forget(connection: Connection) -> tuple[list[str], int, int]:
            gone = useless(store.list_signing_keys(connection), now)
            store.remove_signing_keys(connection, gone)
            expired = store.remove_expired_refresh_tokens(connection, now)
            store.remove_old_misses(connection, now - FORGET, now - KNOWN)
            store.remove_unconfirmed_second_factors(connection, now - UNCONFIRMED)
            store.remove_ended_signups(connection, now)
            return gone, expired, store.remove_ended_sessions(connection, now, _FORGOTTEN)

        gone, expired, sessions = await self.database.write(forget)
        for kid in gone:
            await context.log(f"the key {kid} was removed: everything that it signed has ended")
        if expired:
            await context.log(f"{expired} refresh tokens had expired")
        if sessions:
            await context.log(f"{sessions} sessions had ended")
