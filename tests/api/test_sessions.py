"""Logins with a browser: sessions, their ends, and requests that other sites make browsers send."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import text, update

from longshore.access.passwords import hash_argon2
from longshore.identity import store
from longshore.identity.tables import sessions
from tests.services.browser import Browser
from tests.services.management import PASSWORD, management_of

pytestmark = pytest.mark.anyio

OWN = "/api/longshore/v1/sessions"
PROFILE = {"email": "d@example.org", "realname": "Dora"}


@pytest.fixture
async def dora(management):
    """A browser in which dora is logged in."""
    management.dora = await management.add_user("dora")
    browser = Browser(management)
    assert (await browser.log_in("dora")).status_code == 200
    return browser


async def test_a_browser_logs_in_works_and_logs_out(management, dora):
    assert (await dora.ask("GET", "/users/current")).json()["username"] == "dora"
    reply = await dora.ask("PUT", f"/users/{management.dora}", json=PROFILE)
    assert reply.status_code == 200, reply.text
    kept = dict(dora.cookies)

    assert (await dora.ask("GET", "/c/log_out")).status_code == 200

    assert not dora.cookies
    # The cookie that somebody copied before is of no use.
    dora.cookies = kept
    assert not await dora.is_in()
    assert (await dora.ask("GET", "/projects")).status_code == 200


async def test_cookies_are_out_of_reach_of_scripts_other_sites_and_plain_http(management, dora):
    for name in ("sid", "_gorilla_csrf"):
        assert "HttpOnly" in dora.flags[name]
        assert "Path=/" in dora.flags[name]
        assert "Secure" not in dora.flags[name]
    assert "SameSite=Lax" in dora.flags["sid"]
    assert "SameSite=Strict" in dora.flags["_gorilla_csrf"]


async def test_cookies_are_secure_where_the_client_speaks_tls(database_url, tmp_path):
    sections: dict[str, Any] = {"longshore": {"http": {"trustedproxies": ["127.0.0.1"]}}}
    async with management_of(database_url, tmp_path, **sections) as management:
        browser = Browser(management)
        form = {"principal": "admin", "password": PASSWORD}
        proxied = {"X-Forwarded-Proto": "https"}
        assert (
            await browser.ask("POST", "/c/login", data=form, headers=proxied)
        ).status_code == 200

    assert all("; Secure" in browser.flags[name] for name in ("sid", "_gorilla_csrf"))


async def test_only_the_hash_of_a_session_is_kept(management, dora):
    def rows(connection):
        return connection.execute(text("SELECT * FROM sessions")).mappings().all()

    (row,) = await management.database.read(rows)

    assert dora.cookies["sid"] not in str(dict(row))
    assert row["token_hash"] == hashlib.sha256(dora.cookies["sid"].encode()).hexdigest()
    assert len(dora.cookies["sid"]) >= 43


async def test_a_session_that_somebody_planted_is_not_the_one_after_the_login(management, dora):
    victim = Browser(management)
    planted = dict(dora.cookies)
    victim.cookies, victim.token = dict(planted), dora.token
    await management.add_user("emil")

    assert (await victim.log_in("emil")).status_code == 200

    assert victim.cookies["sid"] != planted["sid"]
    assert (await victim.ask("GET", "/users/current")).json()["username"] == "emil"
    # The former session has ended: nothing of it is left to share.
    assert not await dora.is_in()
    invented = Browser(management, {"sid": "lss_" + "A" * 43})
    assert (await invented.log_in("emil")).status_code == 200
    assert invented.cookies["sid"] != "lss_" + "A" * 43


NO_LOGINS: tuple[tuple[dict[str, str], int], ...] = (
    ({"principal": "dora", "password": "wrong"}, 401),
    ({"principal": "nobody", "password": PASSWORD}, 401),
    ({"principal": "dora"}, 400),
    ({}, 400),
    ({"principal": "do\0ra", "password": PASSWORD}, 400),
    ({"principal": "dora\r\nSet-Cookie: sid=x", "password": PASSWORD}, 401),
    ({"principal": "dora", "password": "x" * 9000}, 400),
)


async def test_a_login_that_is_none_opens_nothing(management):
    await management.add_user("dora")
    browser = Browser(management)

    for form, status in NO_LOGINS:
        reply = await browser.ask("POST", "/c/login", data=form)
        assert reply.status_code == status, reply.text
        assert not browser.cookies
        assert "www-authenticate" not in reply.headers
        assert PASSWORD not in reply.text


async def test_who_does_not_exist_is_answered_like_who_does(management):
    await management.add_user("dora")
    replies = [await Browser(management).log_in(name, "Wrong1234") for name in ("dora", "nobody")]

    first, second = (reply.text.replace("nobody", "dora") for reply in replies)
    assert first == second


FROM: tuple[tuple[dict[str, str], int], ...] = (
    ({"Origin": "https://evil.test"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://registry.test:81"}, 403),
    ({"Origin": "http://registry.test"}, 200),
    # A proxy ended TLS and did not say so.
    ({"Origin": "https://registry.test"}, 200),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "http://elsewhere"}, 200),
)


class TestForeignRequests:
    async def test_without_the_token_nothing_changes_and_a_fresh_one_comes_back(
        self, management, dora
    ):
        path = f"/users/{management.dora}"
        dora.token = ""
        refused = await dora.ask("PUT", path, json=PROFILE)
        assert refused.status_code == 403
        assert refused.json()["errors"][0]["code"] == "FORBIDDEN"
        # As clients do that are given a session: once more, with what came back.
        assert (await dora.ask("PUT", path, json=PROFILE)).status_code == 200

    async def test_a_token_of_another_session_does_not_fit(self, management, dora):
        other = Browser(management)
        await management.add_user("emil")
        await other.log_in("emil")
        path = f"/users/{management.dora}"
        mine = dict(dora.cookies)

        headers = {"X-Harbor-CSRF-Token": other.token}
        assert (await dora.ask("PUT", path, json=PROFILE, headers=headers)).status_code == 403
        # Not even with the cookie that belongs to it, which a neighbouring host could plant.
        dora.cookies = mine | {"_gorilla_csrf": other.cookies["_gorilla_csrf"]}
        assert (await dora.ask("PUT", path, json=PROFILE, headers=headers)).status_code == 403

    async def test_a_token_from_before_the_last_login_does_not_fit(self, management, dora):
        former = dora.token
        await dora.log_in("dora")

        headers = {"X-Harbor-CSRF-Token": former}
        path = f"/users/{management.dora}"
        assert (await dora.ask("PUT", path, json=PROFILE, headers=headers)).status_code == 403

    async def test_nonsense_is_no_token(self, management, dora):
        path = f"/users/{management.dora}"
        for token in ("nonsense", "=", "A" * 86 + "==", "é" * 10):
            headers = {"X-Harbor-CSRF-Token": token.encode()}
            assert (await dora.ask("PUT", path, json=PROFILE, headers=headers)).status_code == 403

    async def test_every_reply_has_the_token_in_another_form(self, dora):
        tokens = {(await dora.ask("GET", "/projects")).headers["x-harbor-csrf-token"] for _ in "ab"}

        assert len(tokens) == 2

    async def test_who_sends_a_password_needs_no_token(self, management, dora):
        path = f"/users/{management.dora}"
        reply = await management.ask("dora", "PUT", path, json=PROFILE)

        assert reply.status_code == 200
        assert "set-cookie" not in reply.headers
        assert "x-harbor-csrf-token" not in reply.headers

    async def test_pages_of_other_sites_change_nothing_and_log_nobody_in(self, management, dora):
        form = {"principal": "dora", "password": PASSWORD}
        for headers, status in FROM:
            path = f"/users/{management.dora}"
            reply = await dora.ask("PUT", path, json=PROFILE, headers=headers)
            assert reply.status_code == status, (headers, reply.text)
            reply = await Browser(management).ask("POST", "/c/login", data=form, headers=headers)
            assert reply.status_code == status, (headers, reply.text)

    async def test_a_browser_that_remembers_a_password_is_no_way_in_either(self, management, dora):
        headers = {"Sec-Fetch-Site": "cross-site"}
        path = f"/users/{management.dora}"

        reply = await management.ask("dora", "PUT", path, json=PROFILE, headers=headers)

        assert reply.status_code == 403


class TestEnds:
    @pytest.mark.parametrize(
        "change",
        [
            {"password_hash": hash_argon2(b"Another12")},
            {"disabled": True},
            {"is_admin": True},
        ],
    )
    async def test_a_session_ends_with_what_it_was_opened_for(self, management, dora, change):
        assert await dora.is_in()

        await management.change(store.update_user, id=management.dora, **change)

        assert not await dora.is_in()

    async def test_a_session_ends_with_its_user(self, management, dora):
        await management.change(store.remove_user, name="dora")
        await management.add_user("dora")

        assert not await dora.is_in()

    @pytest.mark.parametrize("column", ["last_seen_at", "expires_at"])
    async def test_a_session_ends_unused_and_ends_used(self, management, dora, column):
        await management.database.write(
            lambda connection: connection.execute(update(sessions).values({column: 1.0}))
        )

        assert not await dora.is_in()
        assert (await dora.ask("GET", OWN)).status_code == 401

    async def test_use_is_noted_once_a_minute(self, management, dora):
        def seen(connection):
            return store.list_sessions(connection, management.dora)[0].last_seen_at

        before = await management.database.read(seen)
        await dora.is_in()
        assert await management.database.read(seen) == before
        await management.database.write(
            lambda connection: connection.execute(update(sessions).values(last_seen_at=before - 61))
        )
        await dora.is_in()

        assert await management.database.read(seen) >= before

    async def test_a_user_keeps_a_bounded_number(self, management, dora):
        def add_many(connection):
            for number in range(120):
                store.add_session(
                    connection,
                    management.dora,
                    f"hash {number}",
                    seal="",
                    address="",
                    user_agent="",
                    now=number,
                    expires_at=2e10,
                )

        await management.database.write(add_many)

        def count(connection):
            return len(store.list_sessions(connection, management.dora))

        assert await management.database.read(count) == 100


async def test_a_session_holds_on_every_node(database_url, tmp_path):
    async with (
        management_of(database_url, tmp_path, 0) as one,
        management_of(database_url, tmp_path, 1) as two,
    ):
        browser = Browser(one)
        await browser.log_in("admin")
        browser.registry = two
        assert (await browser.ask("PUT", "/users/1", json=PROFILE)).status_code == 200
        assert (await browser.ask("GET", "/c/log_out")).status_code == 200
        assert not await browser.is_in()


async def test_people_see_and_end_their_own_sessions(management, dora):
    other = Browser(management)
    await other.log_in("dora")
    third = Browser(management)
    await third.log_in("dora")

    listed = (await dora.ask("GET", OWN)).json()
    assert [one["current"] for one in listed] == [False, False, True]
    assert dora.cookies["sid"] not in str(listed)
    assert (await dora.ask("DELETE", f"{OWN}/{listed[0]['id']}")).status_code == 200
    assert [await browser.is_in() for browser in (dora, other, third)] == [True, True, False]
    assert (await dora.ask("DELETE", OWN)).status_code == 200
    assert [await browser.is_in() for browser in (dora, other, third)] == [True, False, False]


async def test_only_administrators_end_the_sessions_of_others(management, dora):
    await management.add_user("emil")
    emil = Browser(management)
    await emil.log_in("emil")
    path = f"/api/longshore/v1/users/{management.dora}/sessions"
    (session,) = (await management.ask("admin", "GET", path)).json()

    # Emil's own address does not reach dora's session, whatever the number.
    assert (await emil.ask("DELETE", f"{OWN}/{session['id']}")).status_code == 404
    assert (await emil.ask("GET", path)).status_code == 403
    assert (await emil.ask("DELETE", path)).status_code == 403
    assert await dora.is_in()
    one = f"{path}/{session['id']}"
    assert (await management.ask("admin", "DELETE", one)).status_code == 200
    assert not await dora.is_in()
    await dora.log_in("dora")
    assert (await management.ask("admin", "DELETE", path)).status_code == 200
    assert not await dora.is_in()


async def test_whether_a_user_exists_is_told_to_administrators(management, dora):
    path = "/c/userExists?target=username&value=dora"
    assert (await management.ask("admin", "POST", path)).json() is True
    missing = await management.ask("admin", "POST", path + "x")
    assert missing.json() is False
    assert (await dora.ask("POST", path)).status_code == 403
