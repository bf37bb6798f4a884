"""The keys of the registry's own tokens: made by it, kept in the database, replaced while it serves.

A new key is in the database, and in what is published, a while before it signs; an old one stays until no
upload that was begun with its tokens can still be open. Each process looks at the keys twice a minute, and at
once, though not more than once a second, when a token names one that it does not know.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final

import anyio.to_thread

from longshore.access import key_pairs
from longshore.access.issuer import Signer
from longshore.access.key_pairs import Algorithm
from longshore.db.database import Connection, Database
from longshore.db.encryption import Encryption, Undecipherable
from longshore.identity import store
from longshore.identity.store.signing_keys import StoredKey
from longshore.oci.errors import Unavailable

logger = logging.getLogger(__name__)

#: Seconds between two looks at the keys, and the least between two that unknown keys cause.
FRESH: Final = 30.0
SEARCH: Final = 1.0
#: How long a new key is published before it signs: others keep what is published for five minutes.
LEAD: Final = 900.0
#: How long an old key verifies. Tokens end in minutes; uploads that were begun with one may go on for a week.
RETENTION: Final = 8 * 86400.0


def make_key(algorithm: Algorithm, encryption: Encryption, now: float, lead: float) -> StoredKey:
    """A new key, which signs in ``lead`` seconds. A tenth of a second for RS256."""
    made = key_pairs.generate(algorithm)
    private = encryption.encrypt(json.dumps(made.private))
    return StoredKey(made.kid, algorithm, private, made.public, now, now + lead)


def signing(keys: Sequence[StoredKey], now: float) -> StoredKey | None:
    """The one of ``keys``, in their order, that signs at ``now``."""
    begun = [key for key in keys if key.signs_from <= now]
    return begun[-1] if begun else next(iter(keys), None)


def waiting(keys: Sequence[StoredKey], now: float) -> list[str]:
    """The ids of those that do not sign yet."""
    return [key.kid for key in keys if key.signs_from > now]


def useless(keys: Sequence[StoredKey], now: float) -> list[str]:
    """The ids of those whose tokens, and the uploads that were begun with them, have ended."""
    return [key.kid for key, successor in pairwise(keys) if successor.signs_from + RETENTION < now]


class KeyRing:
    """The keys as this process knows them: a :class:`longshore.access.issuer.SigningKeys`."""

    algorithms: tuple[str, ...] = key_pairs.ALGORITHMS

    def __init__(
        self,
        database: Database,
        encryption: Encryption,
        algorithm: Algorithm = "ES256",
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``algorithm`` is that of a first key; ``clock`` tells POSIX seconds."""
        self.generation = 0
        self.trusted = key_pairs.trusted(())
        self._database = database
        self._encryption = encryption
        self._algorithm = algorithm
        self._monotonic = monotonic
        self._clock = clock
        self._keys: Sequence[StoredKey] = ()
        self._signer: Signer | None = None
        self._looked = float("-inf")
        self._looking = asyncio.Lock()

    async def start(self) -> None:
        """Make the first key, if there is none or the last one cannot be decrypted any more."""
        await self._look(0.0)
        newest = self._keys[-1] if self._keys else None
        if newest is not None and self._can_read(newest):
            if newest.algorithm != self._algorithm:
                await self._add(LEAD, newest.kid)
            return
        if newest is not None:
            logger.warning(
                "the key that signs tokens cannot be decrypted (longshore.encryption.keys or http.secret "
                "has changed): a new one was made"
            )
        await self._add(0.0, newest.kid if newest else "")

    async def _add(self, lead: float, after: str) -> None:
        make = partial(make_key, self._algorithm, self._encryption, self._clock(), lead)
        made = await anyio.to_thread.run_sync(make)

        def add(connection: Connection) -> None:
            known = store.list_signing_keys(connection)
            if (known[-1].kid if known else "") != after:
                return  # another process was quicker
            if not lead:
                store.remove_signing_keys(connection, waiting(known, made.signs_from))
            store.add_signing_key(connection, made)

        await self._database.write(add)
        await self._look(0.0)

    def _can_read(self, key: StoredKey) -> bool:
        try:
            self._encryption.decrypt(key.private_key)
        except Undecipherable:
            return False
        return True

    @property
    def signer(self) -> Signer:
        """See :class:`longshore.access.issuer.SigningKeys`."""
        found = signing(self._keys, self._clock())
        if found is None:
            raise Unavailable(
                "there is no key to sign tokens with: make one with `longshore token-keys rotate`"
            )
        if self._signer is None or self._signer.kid != found.kid:
            private = json.loads(self._encryption.decrypt(found.private_key))
            self._signer = key_pairs.signer(found.algorithm, found.kid, private)
        return self._signer

    async def fresh(self) -> None:
        """See :class:`longshore.access.issuer.SigningKeys`. Raises Unavailable when the database is away
        and the keys are too old to be relied on."""
        if self._monotonic() - self._looked >= FRESH:
            await self._look(FRESH)

    async def search(self) -> bool:
        """See :class:`longshore.access.issuer.SigningKeys`."""
        looked = self._looked
        await self._look(SEARCH)
        return self._looked != looked

    async def _look(self, age: float) -> None:
        async with self._looking:
            if self._monotonic() - self._looked < age:
                return
            keys = await self._database.read(store.list_signing_keys)
            self._looked = self._monotonic()
            if [key.kid for key in keys] != [key.kid for key in self._keys]:
                self.trusted = key_pairs.trusted(key.public_key for key in keys)
                self.generation += 1
            self._keys = keys

    def published(self) -> list[dict[str, Any]]:
        """See :class:`longshore.access.issuer.SigningKeys`."""
        return [
            {**key.public_key, "kid": key.kid, "use": "sig", "alg": key.algorithm}
            for key in self._keys
        ]
