"""What `docker login` keeps: listed and revoked by its user, and by administrators."""

import pytest

pytestmark = pytest.mark.anyio

OWN = "/api/longshore/v1/refresh-tokens"


async def log_in(management, user, client="docker"):
    path = f"/service/token?service=longshore&offline_token=true&client_id={client}"
    reply = await management.ask(user, "GET", path)
    return reply.json()["refresh_token"]


async def counts(management, token):
    form = {"grant_type": "refresh_token", "refresh_token": token, "service": "longshore"}
    reply = await management.ask("", "POST", "/service/token", data=form)
    assert reply.status_code in (200, 401)
    return reply.is_success


async def test_people_see_and_revoke_their_own(management):
    await management.add_user("dora")
    await management.add_user("emil")
    first, second = await log_in(management, "dora"), await log_in(management, "dora", "podman")
    third, other = await log_in(management, "dora"), await log_in(management, "emil")

    listed = (await management.ask("dora", "GET", OWN)).json()

    assert sorted(one["client_id"] for one in listed) == ["docker", "docker", "podman"]
    assert all(one["address"] and one["service"] == "longshore" for one in listed)
    assert first not in str(listed)
    (podman,) = (one["id"] for one in listed if one["client_id"] == "podman")
    assert (await management.ask("dora", "DELETE", f"{OWN}/{podman}")).status_code == 200
    assert (await management.ask("dora", "DELETE", f"{OWN}/{podman}")).status_code == 404
    assert [await counts(management, one) for one in (first, second, third)] == [True, False, True]
    assert (await management.ask("dora", "DELETE", OWN)).status_code == 200
    assert [await counts(management, one) for one in (first, third, other)] == [False, False, True]
    assert (await management.ask("dora", "GET", OWN)).json() == []


async def test_only_administrators_reach_those_of_others(management):
    dora = await management.add_user("dora")
    await management.add_user("emil")
    kept, another = await log_in(management, "dora"), await log_in(management, "dora", "podman")
    path = f"/api/longshore/v1/users/{dora}/refresh-tokens"
    listed = (await management.ask("admin", "GET", path)).json()
    (docker,) = (one["id"] for one in listed if one["client_id"] == "docker")

    # The own address of somebody else does not reach it, whatever the number.
    assert (await management.ask("emil", "DELETE", f"{OWN}/{docker}")).status_code == 404
    for method in ("GET", "DELETE"):
        assert (await management.ask("emil", method, path)).status_code == 403
        assert (await management.ask("", method, path)).status_code == 401
    assert await counts(management, kept)
    assert (await management.ask("admin", "DELETE", f"{path}/{docker}")).status_code == 200
    assert [await counts(management, one) for one in (kept, another)] == [False, True]
    assert (await management.ask("admin", "DELETE", path)).status_code == 200
    assert not await counts(management, another)
    missing = "/api/longshore/v1/users/999999/refresh-tokens"
    for method in ("GET", "DELETE"):
        assert (await management.ask("admin", method, missing)).status_code == 404


async def test_an_access_token_reaches_none(management):
    await management.add_user("dora")
    kept = await log_in(management, "dora")
    for scope in ("pull", "manage"):
        made = await management.ask(
            "dora", "POST", "/api/longshore/v1/tokens", json={"name": scope, "scopes": [scope]}
        )
        assert made.status_code == 201, made.text
        for method in ("GET", "DELETE"):
            reply = await management.ask("dora", method, OWN, password=made.json()["token"])
            assert reply.status_code == 403
    assert await counts(management, kept)
