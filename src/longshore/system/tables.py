"""What administrators set while the registry runs: a row for each key that was."""

from sqlalchemy import Column, Table, Text

from longshore.db.schema import EncryptedText, Name, Timestamp, metadata

system_settings = Table(
    "system_settings",
    metadata,
    Column("name", Name, primary_key=True),
    # JSON; null for secrets.
    Column("value", Text),
    Column("secret", EncryptedText),
    Column("updated_at", Timestamp, nullable=False),
)
