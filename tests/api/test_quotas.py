"""Quotas, as clients of Harbor see and change them."""

import pytest

from longshore.identity.model import Role

pytestmark = pytest.mark.anyio


async def made(management, by="admin", **body) -> int:
    reply = await management.ask(by, "POST", "/projects", json={"project_name": "team", **body})
    assert reply.status_code == 201, reply.text
    return int(reply.headers["location"].rpartition("/")[2])


async def test_a_quota_is_listed_read_and_changed_and_counts_at_once(management):
    project = await made(management, storage_limit=5000)

    listed = await management.ask("admin", "GET", "/quotas?page=1&page_size=100&sort=-hard.storage")
    assert [quota["ref"]["name"] for quota in listed.json()] == ["team", "library"]
    assert listed.headers["x-total-count"] == "2"
    query = f"/quotas/?reference=project&reference_id={project}"
    (one,) = (await management.ask("admin", "GET", query)).json()
    assert one["ref"] == {"id": project, "name": "team", "owner_name": "admin"}
    assert (one["hard"], one["used"]) == ({"storage": 5000}, {"storage": 0})

    assert (await management.push("admin", "team/app")).status_code == 201
    path = f"/quotas/{one['id']}"
    used = (await management.ask("admin", "GET", path)).json()["used"]["storage"]
    assert used > 0
    hard = {"hard": {"storage": used}}
    assert (await management.ask("admin", "PUT", path, json=hard)).status_code == 200
    begun = await management.ask("admin", "POST", "/v2/team/app/blobs/uploads/")
    assert begun.status_code == 403
    assert "storage quota of project 'team' is exceeded" in begun.text
    assert (
        await management.ask("admin", "PUT", path, json={"hard": {"storage": -1}})
    ).status_code == 200
    begun = await management.ask("admin", "POST", "/v2/team/app/blobs/uploads/")
    assert begun.status_code == 202
    summary = (await management.ask("admin", "GET", "/projects/team/summary")).json()
    assert summary["quota"] == {"hard": {"storage": -1}, "used": {"storage": used}}


@pytest.mark.parametrize(
    "hard", [{}, {"storage": 0}, {"storage": -2}, {"storage": (1 << 50) + 1}, {"count": 3}]
)
async def test_what_is_no_limit_is_refused(management, hard):
    project = await made(management)
    reply = await management.ask("admin", "PUT", f"/quotas/{project}", json={"hard": hard})

    assert reply.status_code == 400
    assert reply.json()["errors"][0]["code"] == "BAD_REQUEST"


async def test_only_administrators_choose_the_limit_of_a_new_project(management):
    await management.add_user("dora")
    await made(management, "dora", storage_limit=1)
    summary = (await management.ask("dora", "GET", "/projects/team/summary")).json()

    assert summary["quota"]["hard"] == {"storage": -1}
    reply = await management.ask(
        "admin", "POST", "/projects", json={"project_name": "other", "storage_limit": -5}
    )
    assert reply.status_code == 400
    assert (await management.ask("admin", "GET", "/projects/other")).status_code == 404


async def test_who_did_not_log_in_sees_no_quota(management):
    await management.add_user("guest")
    await management.add_project("public", {"guest": Role.GUEST}, public=True)

    shown = {
        by: "quota" in (await management.ask(by, "GET", "/projects/public/summary")).json()
        for by in ("guest", "")
    }
    assert shown == {"guest": True, "": False}
