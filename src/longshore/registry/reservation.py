"""Putting bytes under a digest while collection may be removing what lay there before.

Collection removes nothing that has not been condemned for a lease (``longshore.gc``). So whoever is
about to write under a digest looks first, and takes a condemnation back: then the bytes stay at least
a lease, which is ample for the transaction that refers to them. Only in the seconds in which old
bytes are being removed there is something to wait for.
"""

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from longshore.db.database import Database
from longshore.oci.digest import Digest
from longshore.registry import store
from longshore.registry.model import BlobGoing, Standing

#: How long a look is worth anything, in seconds: little beside a lease.
_FRESH: Final = 60.0
_PATIENCE: Final = 15.0
_PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Look:
    """How a digest stood at a monotonic time."""

    standing: Standing
    at: float = field(default_factory=time.monotonic)


async def reserve(database: Database, digest: Digest, look: Look | None = None) -> Standing:
    """Return when bytes put under ``digest`` now will stay: SAFE, or QUARANTINED if bad ones lie
    there. ``look`` is what the caller learnt beside something else, so that most pushes ask nothing
    here.

    Raises BlobGoing when old bytes are still being removed after 15 seconds.
    """
    if look is None or time.monotonic() - look.at > _FRESH:
        look = Look(await database.read(partial(store.blob_standing, digest=digest)))
    end = time.monotonic() + _PATIENCE
    standing = look.standing
    while standing in (Standing.CONDEMNED, Standing.DELETING):
        standing = await database.write(partial(store.claim_digest, digest=digest))
        if standing is Standing.DELETING:
            if time.monotonic() > end:
                raise BlobGoing(digest)
            await asyncio.sleep(_PAUSE)
    return standing
