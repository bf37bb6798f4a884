"""What was decided is remembered only for who is the same, and only while nothing was committed that concerns it."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from longshore.access.model import ANONYMOUS, Access, Action, Grant
from longshore.identity.decisions import LIFE, Decisions
from longshore.identity.model import Role
from longshore.oci.names import RepositoryName
from tests.services.management import Management, management_of

PROXIED: dict[str, Any] = {"longshore": {"http": {"trustedproxies": ["127.0.0.1"]}}}
KEY = (b"login", "192.0.2.1", (Access.repository(RepositoryName("team/app"), Action.PULL),))
PULL = "/v2/team/app/manifests/latest"


def remembered(decisions: Decisions, generation: int, until: float = 1e12) -> Grant | None:
    """What is found after a grant was decided."""
    decisions.find(KEY, generation)
    decisions.remember(KEY, Grant(ANONYMOUS), generation, until)
    return decisions.find(KEY, generation)


def test_a_grant_ends_with_its_generation_with_its_time_and_soon() -> None:
    now, passed = [1000.0], [0.0]
    decisions = Decisions(monotonic=lambda: passed[0], clock=lambda: now[0])

    assert remembered(decisions, 1) is not None
    assert decisions.find(KEY, 2) is None
    # What was decided before a change is not kept after it.
    decisions.remember(KEY, Grant(ANONYMOUS), 1, 1e12)
    assert decisions.find(KEY, 2) is None
    # What is true after a change answers who came before it, too, and is not lost by them.
    assert remembered(decisions, 2) is not None
    assert decisions.find(KEY, 1) is not None
    assert decisions.find(KEY, 2) is not None

    assert remembered(decisions, 2, until=1010.0) is not None
    now[0] = 1010.0
    assert decisions.find(KEY, 2) is None
    assert remembered(decisions, 2) is not None
    passed[0] += LIFE
    assert decisions.find(KEY, 2) is None


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
