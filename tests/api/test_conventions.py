"""What holds for every route of the management API."""

import pytest

pytestmark = pytest.mark.anyio


async def test_errors_have_harbors_form_and_every_reply_the_requests_id(management):
    reply = await management.ask(
        "admin", "GET", "/projects/nothing", headers={"X-Request-Id": "me-1"}
    )

    assert reply.status_code == 404
    assert reply.json() == {
        "errors": [{"code": "NOT_FOUND", "message": "there is no project 'nothing'"}]
    }
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["x-request-id"] == "me-1"
    other = await management.ask("admin", "GET", "/projects", headers={"X-Request-Id": "a\tb"})
    assert other.headers["x-request-id"] not in ("", "a\tb")


async def test_a_reply_without_a_body_has_no_content_type(management):
    reply = await management.ask("admin", "POST", "/projects", json={"project_name": "team"})

    assert reply.status_code == 201
    assert reply.content == b""
    assert "content-type" not in reply.headers
    assert reply.headers["location"] == "/api/v2.0/projects/2"


async def test_a_path_may_end_with_a_slash(management):
    for path in ("/projects/", "/projects/library/members/"):
        assert (await management.ask("admin", "GET", path)).status_code == 200


async def test_lists_tell_of_their_pages(management):
    for number in range(5):
        await management.add_project(f"p{number}", public=True)

    reply = await management.ask("", "GET", "/projects?q=name%3D~p&page_size=2&page=2&sort=-name")

    assert [project["name"] for project in reply.json()] == ["p2", "p1"]
    assert reply.headers["x-total-count"] == "5"
    before, after = reply.headers["link"].split(" , ")
    assert before.startswith("</api/v2.0/projects?q=name%3D~p&sort=-name&page=1&page_size=2>")
    assert after.endswith('; rel="next"')
    path = after[1:].partition(">")[0]
    assert [project["name"] for project in (await management.ask("", "GET", path)).json()] == ["p0"]
    whole = await management.ask("", "GET", "/projects?page_size=0&name=p")
    assert len(whole.json()) == 5
    assert "link" not in whole.headers


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page_size=101", 422),
        ("page=0", 422),
        ("page_size=-1", 422),
        ("page=x", 422),
        ("q=name", 400),
        ("q=name%3D", 400),
        ("q=project_id%3Dx", 400),
        ("q=name%3D%5B%5D", 400),
        ("q=colour%3Dred&sort=colour", 200),
        ("q=projectID%3D1", 200),
        ("page=99999999", 200),
    ],
)
async def test_what_a_list_cannot_give_is_refused(management, query, status):
    reply = await management.ask("admin", "GET", f"/projects?{query}")

    assert reply.status_code == status
    assert status == 200 or reply.json()["errors"][0]["message"]


async def test_broken_and_oversized_bodies_are_refused(management):
    json = {"Content-Type": "application/json"}
    broken = await management.ask("admin", "POST", "/projects", content=b'{"a', headers=json)
    assert (broken.status_code, broken.json()["errors"][0]["code"]) == (400, "BAD_REQUEST")
    wrong = await management.ask("admin", "POST", "/projects", json={"project_name": 7})
    assert wrong.status_code == 422
    large = await management.ask("admin", "POST", "/projects", content=b" " * (1 << 21))
    assert large.status_code == 400
    assert "at most 1048576 bytes" in large.json()["errors"][0]["message"]


async def test_wrong_credentials_are_nobodys_where_no_login_is_needed(management):
    listed = await management.ask("admin", "GET", "/projects", password="Wrong123")
    assert listed.status_code == 200
    assert [project["name"] for project in listed.json()] == ["library"]

    refused = await management.ask("admin", "GET", "/users/current", password="Wrong123")
    assert refused.status_code == 401
    assert (await management.ask("", "GET", "/users/current")).status_code == 401


async def test_an_unknown_project_is_told_by_who_asks(management):
    await management.add_user("somebody")
    await management.add_project("private")

    for project in ("private", "nothing", "2", "777", "9" * 40):
        path = f"/projects/{project}"
        assert (await management.ask("", "GET", path)).status_code == 401
        assert (await management.ask("somebody", "GET", path)).status_code == 403
    assert (await management.ask("admin", "GET", "/projects/nothing")).status_code == 404
    assert (await management.ask("admin", "GET", "/projects/2")).json()["name"] == "private"
    named = {"X-Is-Resource-Name": "true"}
    assert (await management.ask("admin", "GET", "/projects/2", headers=named)).status_code == 404
