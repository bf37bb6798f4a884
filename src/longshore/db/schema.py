"""What all tables share: one MetaData, constraint names, and column types that mean the same thing
on SQLite and on PostgreSQL."""

from functools import cache
from importlib import import_module, resources
from importlib.util import find_spec
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Double, Integer, MetaData, Text

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: Tables of one row beside the others, in which triggers write other values in every transaction that changes what says
#: who may do what (on PostgreSQL, migration 0028), or what pulls are answered from (on SQLite, migration 0029).
#: Nothing that a backup would hold.
GENERATIONS: Final = frozenset({"rights_generation", "pull_generation"})

#: Text that sorts by byte value on both, as the specification orders tags and repositories.
Name: Final = Text().with_variant(Text(collation="C"), "postgresql")
#: ``info`` of a column in which no letter is a capital: what is looked for there is folded once, not each row.
LOWER_CASE: Final = {"lower case": True}
#: A surrogate key. SQLite counts up by itself only in a column that is INTEGER to the letter.
Identity: Final = BigInteger().with_variant(Integer(), "sqlite")
#: POSIX seconds, UTC.
Timestamp: Final[Double[float]] = Double()
#: Bytes.
Size: Final = BigInteger()
#: A JSON document; nothing queries inside it.
Document: Final[JSON] = JSON()

Row = Any


class EncryptedText(Text):
    """Text that :class:`longshore.db.encryption.Encryption` encrypted; null or a secret."""


@cache
def every_table() -> MetaData:
    """The metadata with the tables of every package, whether anybody has imported them or not: who copies
    or compares a whole database must not miss any."""
    root = __name__.partition(".")[0]
    for package in sorted(entry.name for entry in resources.files(root).iterdir()):
        if package.isidentifier() and find_spec(f"{root}.{package}.tables") is not None:
            import_module(f"{root}.{package}.tables")
    return metadata
