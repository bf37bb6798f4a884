"""What is configured when there is no config.yml."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from longshore.config.document import Entries, Scalar
from longshore.config.problems import Origin
from longshore.config.shape import Shape, Struct
from longshore.config.tree import as_table

BUILT_IN: Final = Origin("no config.yml")
SYSTEM_DIRECTORY: Final = Path("/var/lib/longshore")


def data_directory(environ: Mapping[str, str]) -> Path:
    """Where data goes when nobody says: ``/var/lib/longshore`` for root and for whoever may write
    there, otherwise a directory of the user's (XDG base directories)."""
    if os.geteuid() == 0 or os.access(SYSTEM_DIRECTORY, os.W_OK):
        return SYSTEM_DIRECTORY
    data = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):  # relative ones are to be ignored
        home = environ.get("HOME", "")
        if not home:
            return SYSTEM_DIRECTORY
        data = os.path.join(home, ".local", "share")
    return Path(data, "longshore")


def fill(root: Entries, shape: Struct, environ: Mapping[str, str]) -> None:
    """Complete what the environment alone has configured: a directory, and deleting allowed."""
    drivers = shape.keys["storage"].shape
    storage = _table(root, "storage", drivers)
    known = drivers.known if isinstance(drivers, Struct) else ()
    if not any(name in storage.entries for name in known):
        storage.entries["filesystem"] = Entries(origin=BUILT_IN)
    if "filesystem" in storage.entries:
        directory = str(data_directory(environ))
        filesystem = _table(storage, "filesystem").entries
        filesystem.setdefault("rootdirectory", Scalar(directory, directory, BUILT_IN))
    _table(storage, "delete").entries.setdefault("enabled", Scalar(True, "true", BUILT_IN))


def _table(parent: Entries, key: str, shape: Shape | None = None) -> Entries:
    """The table at ``key``, made if need be; a stray one where there is something else, which is
    a problem that binding reports."""
    table = as_table(parent.entries.get(key), shape, BUILT_IN)
    if table is None:
        return Entries()
    parent.entries[key] = table
    return table
