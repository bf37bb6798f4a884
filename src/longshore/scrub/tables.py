"""What scrubbing remembers.

verifications            when the bytes under a digest were last read and found to be what it says
"""

from sqlalchemy import Column, Table

from longshore.db.schema import Name, Timestamp, metadata

verifications = Table(
    "verifications",
    metadata,
    # Of a blob or a manifest. A table of its own: pushes and pulls never touch it.
    Column("digest", Name, primary_key=True),
    Column("verified_at", Timestamp, nullable=False),
)
