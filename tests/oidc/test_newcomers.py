"""New people of a provider, who choose a name."""

import anyio
import pytest
from sqlalchemy import text

from tests.oidc.visits import has_logins, site

pytestmark = pytest.mark.anyio

ASKED = {"one": {"autoonboard": False}}


def cookie_of(reply):
    (found,) = [
        one for one in reply.headers.get_list("set-cookie") if one.startswith("longshore_oidc=")
    ]
    return found


async def test_a_name_is_chosen_once_and_the_cookie_is_no_login_after_that(
    database_url, tmp_path, start_issuer
):
    async with site(database_url, tmp_path, start_issuer, ASKED) as (node, visitor, _):
        alice = visitor()
        begun = await alice.log_in("one", "4711")
        assert begun.headers["location"] == "/c/oidc/onboard"
        kept = cookie_of(begun).partition(";")[0]
        done = await alice.choose("alice")
        assert done.status_code == 302, done.text
        assert "Max-Age=0" in cookie_of(done)
        assert await alice.who() == "alice"

        await alice.http.get("/c/log_out")
        thief = visitor()
        for name in ("alice", "mallory"):
            refused = await thief.choose(name, headers={"Cookie": kept})
            assert refused.status_code == 401, refused.text
            assert "set-cookie" not in refused.headers
        assert (
            await thief.http.get("/c/oidc/onboard", headers={"Cookie": kept})
        ).status_code == 401
        assert await thief.who() == ""
        names = (await node.ask("admin", "GET", "/users")).json()
        assert {user["username"] for user in names} == {"admin", "alice"}


async def test_who_has_become_somebody_meanwhile_chooses_no_name(
    database_url, tmp_path, start_issuer
):
    async with site(database_url, tmp_path, start_issuer, ASKED) as (node, visitor, _):
        dora = await node.add_user("dora")
        late, later = visitor(), visitor()
        await late.log_in("one", "4711")
        link = {"provider": "oidc:one", "subject": "4711"}
        path = f"/api/longshore/v1/users/{dora}/identities"
        assert (await node.ask("admin", "POST", path, json=link)).status_code == 201
        refused = await late.choose("alice")
        assert refused.status_code == 401
        assert "you are the user 'dora' here already" in refused.text
        # Of two browsers of one person the last one counts.
        await late.log_in("one", "12")
        await later.log_in("one", "12")
        assert (await late.choose("twelve")).status_code == 401
        assert (await later.choose("twelve")).status_code == 302


async def test_many_choices_at_once_make_one_user(database_url, tmp_path, start_issuer):
    async with site(database_url, tmp_path, start_issuer, ASKED) as (node, visitor, _):
        alice = visitor()
        begun = await alice.log_in("one", "4711")
        kept = {"Cookie": cookie_of(begun).partition(";")[0]}
        found = []

        async def choose(number):
            found.append((await visitor().choose(f"alice{number}", headers=kept)).status_code)

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(choose, number)
        assert sorted(found) == [302] + 7 * [401]
        assert len((await node.ask("admin", "GET", "/users")).json()) == 2


async def test_a_name_that_is_taken_leaves_the_choice(database_url, tmp_path, start_issuer):
    async with site(database_url, tmp_path, start_issuer, ASKED) as (_, visitor, _issuers):
        alice = visitor()
        await alice.log_in("one", "4711")
        assert (await alice.choose("admin")).status_code == 409
        assert (await alice.choose("a:b")).status_code == 400
        for site_ in ("cross-site", "same-site"):
            foreign = await alice.choose("mallory", headers={"Sec-Fetch-Site": site_})
            assert foreign.status_code == 403
        assert (await alice.choose("alice")).status_code == 302


async def test_however_many_groups_somebody_has_browsers_keep_the_cookie(
    database_url, tmp_path, start_issuer
):
    async with site(database_url, tmp_path, start_issuer, ASKED) as (node, visitor, _):
        alice = visitor()
        groups = [f"a group with a long name, number {number}" for number in range(150)]
        begun = await alice.log_in("one", "4711", groups=groups)
        assert len(cookie_of(begun)) < 1024
        assert (await alice.choose("alice")).status_code == 302

        def count(connection):
            return connection.execute(text("SELECT count(*) FROM user_group_members")).scalar_one()

        assert await node.database.read(count) == 150


async def test_a_choice_ends_with_its_time_and_with_its_provider(
    database_url, tmp_path, start_issuer
):
    async with site(database_url, tmp_path, start_issuer, {}) as (node, visitor, issuers):
        first, second = start_issuer(), start_issuer()
        for issuer in (first, second):
            has_logins(issuer)

        async def configure(issuer):
            values = {
                "oidc_endpoint": issuer.url,
                "oidc_client_id": "longshore",
                "oidc_client_secret": "secret",
            }
            reply = await node.ask("admin", "PUT", "/configurations", json=values)
            assert reply.status_code == 200, reply.text

        issuers["harbor"] = first
        await configure(first)
        alice = visitor()
        await alice.log_in("harbor", "4711")
        await configure(second)
        refused = await alice.choose("alice")
        assert refused.status_code == 401
        assert "begin again" in refused.text
        assert (await alice.http.get("/c/oidc/onboard")).status_code == 401
        await configure(first)

        def age(connection):
            connection.execute(text("UPDATE signups SET expires_at = expires_at - 601"))

        await node.database.write(age)
        refused = await alice.choose("alice")
        assert refused.status_code == 401
        assert "no new user is expected" in refused.text
