"""The one clock that all nodes share."""

from sqlalchemy import Connection, text

from longshore.telemetry import clock


def database_time(connection: Connection) -> float:
    """POSIX seconds, by the clock of the database: leases are told by it, whatever time the nodes
    believe it is."""
    if connection.dialect.name == "sqlite":
        return clock.timestamp()
    found: float = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float8"))
    return found
