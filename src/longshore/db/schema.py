"""What all tables share: one MetaData, constraint names, and column types that mean the same thing
on SQLite and on PostgreSQL."""

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

#: Text that sorts by byte value on both, as the specification orders tags and repositories.
Name: Final = Text().with_variant(Text(collation="C"), "postgresql")
#: A surrogate key. SQLite counts up by itself only in a column that is INTEGER to the letter.
Identity: Final = BigInteger().with_variant(Integer(), "sqlite")
#: POSIX seconds, UTC.
Timestamp: Final[Double[float]] = Double()
#: Bytes.
Size: Final = BigInteger()
#: A JSON document; nothing queries inside it.
Document: Final[JSON] = JSON()

Row = Any
