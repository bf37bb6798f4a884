"""People of providers who have still to choose a name: only the hashes of what their browsers hold are here."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from longshore.identity.tables import signups
from longshore.registry.store.statements import insert_if_absent


def add_signup(
    connection: Connection,
    token_hash: str,
    provider: str,
    subject: str,
    content: Mapping[str, Any],
    expires_at: float,
) -> None:
    """``subject`` of ``provider`` is to choose a name until ``expires_at`` (POSIX seconds); what they began before
    ends. ``content`` is JSON."""
    theirs = (signups.c.provider == provider) & (signups.c.subject == subject)
    connection.execute(delete(signups).where(theirs))
    row = {
        "token_hash": token_hash,
        "provider": provider,
        "subject": subject,
        "content": dict(content),
        "expires_at": expires_at,
    }
    # Of two at the same moment one is there; whoever holds the other is told to begin again.
    insert_if_absent(connection, signups, row)


def find_signup(connection: Connection, token_hash: str, now: float) -> dict[str, Any] | None:
    """The content of the one with that hash, if it has not ended."""
    query = select(signups.c.content).where(
        signups.c.token_hash == token_hash, signups.c.expires_at >= now
    )
    found: dict[str, Any] | None = connection.scalar(query)
    return found


def remove_signup(connection: Connection, token_hash: str, now: float) -> bool:
    """Whether there was one with that hash that had not ended: it is this transaction's alone."""
    gone = delete(signups).where(signups.c.token_hash == token_hash, signups.c.expires_at >= now)
    return bool(connection.execute(gone).rowcount)


def remove_ended_signups(connection: Connection, now: float) -> int:
    """How many that were."""
    return connection.execute(delete(signups).where(signups.c.expires_at < now)).rowcount
