"""The SQL of the system's configuration."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from longshore.system.tables import system_settings


def read_settings(
    connection: Connection, names: Collection[str] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values by key, and secrets by key as they are stored: all, or those of ``names``."""
    query = select(system_settings)
    if names is not None:
        query = query.where(system_settings.c.name.in_(names))
    values: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    for row in connection.execute(query):
        if row.value is not None:
            values[row.name] = json.loads(row.value)
        elif row.secret:
            secrets[row.name] = row.secret
    return values, secrets


def write_settings(
    connection: Connection,
    values: Mapping[str, Any],
    secrets: Mapping[str, str],
    now: float,
) -> None:
    """Set keys; ``secrets`` are encrypted already, an empty one is removed."""
    names = [*values, *secrets]
    connection.execute(delete(system_settings).where(system_settings.c.name.in_(names)))
    rows: list[dict[str, Any]] = [
        {"name": name, "value": json.dumps(value), "secret": None, "updated_at": now}
        for name, value in values.items()
    ]
    rows += [
        {"name": name, "value": None, "secret": secret, "updated_at": now}
        for name, secret in secrets.items()
        if secret
    ]
    if rows:
        connection.execute(insert(system_settings), rows)
