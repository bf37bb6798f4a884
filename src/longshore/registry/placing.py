"""Where new bytes of a digest go, when there are several backends."""

import asyncio
import time
from functools import partial
from typing import Final

from longshore.db.database import Database
from longshore.oci.digest import Digest
from longshore.registry import store
from longshore.registry.model import BlobGoing
from longshore.storage import layout
from longshore.storage.backends import DEFAULT, Backends
from longshore.storage.driver import PathNotFound

_PATIENCE: Final = 15.0
_PAUSE: Final = 0.1


async def home(database: Database, backends: Backends, digest: Digest, otherwise: str) -> str:
    """The backend where the digest's bytes lie already, or ``otherwise``: one copy serves all
    repositories. With one backend nothing is asked."""
    if not backends.are_several:
        return otherwise
    found = await database.read(partial(store.location, digest=digest))
    return otherwise if found is None else found


async def keep_copy(database: Database, backends: Backends, digest: Digest, backend: str) -> None:
    """Return when bytes put under the digest in ``backend`` now will stay: a copy that lies spare
    there is not removed any more, and one that is just being removed has gone.

    If whoever asks dies before a row says that the bytes are read, collection finds them.
    Raises BlobGoing when an older copy is still being removed after 15 seconds.
    """
    if not backends.are_several:
        return
    end = time.monotonic() + _PATIENCE
    while await database.read(
        partial(store.spare_exists, digest=digest, backend=backend)
    ) and not await database.write(partial(store.release_spare, digest=digest, backend=backend)):
        if time.monotonic() > end:
            raise BlobGoing(digest)
        await asyncio.sleep(_PAUSE)


async def read(database: Database, backends: Backends, digest: Digest) -> bytes:
    """The bytes of a manifest, wherever they lie. Raises PathNotFound."""
    place = await home(database, backends, digest, DEFAULT)
    return await backends[place].driver.read(layout.blob(digest))


async def holds(backends: Backends, backend: str, digest: Digest, size: int) -> bool:
    """Whether the backend really has the bytes. Raises StorageError when it does not answer."""
    try:
        return (await backends[backend].driver.stat(layout.blob(digest))).size == size
    except PathNotFound:
        return False
