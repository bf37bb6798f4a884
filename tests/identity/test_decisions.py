"""What was decided is remembered only for who is the same, and only while nothing was committed."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from longshore.access.model import ANONYMOUS, Access, Action, Grant
from longshore.db.database import Database
from longshore.identity.decisions import LIFE, Decisions
from longshore.identity.model import Role
from longshore.oci.names import RepositoryName
from tests.services.management import Management, management_of

PROXIED: dict[str, Any] = {"longshore": {"http": {"trustedproxies": ["127.0.0.1"]}}}
KEY = (b"login", "192.0.2.1", (Access.repository(RepositoryName("team/app"), Action.PULL),))
PULL = "/v2/team/app/manifests/latest"


def remembered(decisions: Decisions, until: float = 1e12) -> Grant | None:
    """What is found after a grant was decided."""
    decisions.find(KEY)
    decisions.remember(KEY, Grant(ANONYMOUS), decisions.generation, until)
    return decisions.find(KEY)


def test_a_grant_ends_with_any_commit_with_its_time_and_soon(tmp_path: Path) -> None:
    url, now, passed = f"sqlite:///{tmp_path}/db", [1000.0], [0.0]
    one, other = Database(url), Database(url)
    for database in (one, other):
        database.open()
    decisions = Decisions(one, monotonic=lambda: passed[0], clock=lambda: now[0])

    found = remembered(decisions)
    assert found is not None
    assert found.as_of == one.generation()
    with other.engine.begin() as connection:
        connection.execute(text("CREATE TABLE anything (id INTEGER)"))
    assert decisions.find(KEY) is None
    # What was decided before the commit is not kept after it.
    former = decisions.generation
    with other.engine.begin() as connection:
        connection.execute(text("INSERT INTO anything VALUES (1)"))
    decisions.find(KEY)
    decisions.remember(KEY, Grant(ANONYMOUS), former, 1e12)
    assert decisions.find(KEY) is None

    assert remembered(decisions, until=1010.0) is not None
    now[0] = 1010.0
    assert decisions.find(KEY) is None
    assert remembered(decisions) is not None
    passed[0] += LIFE
    assert decisions.find(KEY) is None
    for database in (one, other):
        database.close()


def test_where_commits_are_not_counted_nothing_is_remembered(postgres_url: str) -> None:
    database = Database(postgres_url)
    decisions = Decisions(database)
    assert not decisions.are_kept
    assert remembered(decisions) is None
    database.close()


async def pull(management: Management, by: str, address: str, secret: str = "") -> int:
    headers = {"X-Forwarded-For": address}
    reply = await management.ask(by, "GET", PULL, password=secret, headers=headers)
    return reply.status_code


@pytest.mark.anyio
async def test_who_comes_from_elsewhere_or_wants_more_is_looked_at_anew(
    database_url: str, tmp_path: Path
) -> None:
    async with management_of(database_url, tmp_path, **PROXIED) as management:
        await management.add_user("dora")
        await management.add_project("team", {"dora": Role.GUEST})
        assert (await management.push("admin", "team/app")).is_success
        made = await management.ask(
            "dora",
            "POST",
            "/api/longshore/v1/tokens",
            json={"name": "ci", "scopes": ["pull"], "allowed_networks": ["192.0.2.0/24"]},
        )
        assert made.status_code == 201, made.text
        secret = made.json()["token"]
        for _ in range(3):
            assert await pull(management, "dora", "192.0.2.7", secret) == 200
            assert await pull(management, "dora", "198.51.100.7", secret) == 401
            assert await pull(management, "dora", "198.51.100.7") == 200
            assert await pull(management, "", "192.0.2.7") == 401
            begin = await management.ask("dora", "POST", "/v2/team/app/blobs/uploads/")
            assert begin.status_code == 403
        await management.change(
            lambda connection: connection.execute(text("UPDATE users SET disabled = true"))
        )
        assert await pull(management, "dora", "192.0.2.7", secret) == 401
        assert await pull(management, "dora", "198.51.100.7") == 401
