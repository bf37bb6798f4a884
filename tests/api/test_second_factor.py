"""A code beside the password: enrolling, logging in, losing the device, and what nobody gets by guessing."""

import base64
import logging
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import text

from longshore.cli.main import main
from longshore.db.schema import every_table
from longshore.identity import store
from longshore.identity.model import Role
from longshore.identity.second_factor import code_at
from longshore.identity.sessions import Sessions
from tests.services.authenticator import Device, Time
from tests.services.browser import Browser
from tests.services.management import PASSWORD, management_of

pytestmark = pytest.mark.anyio

OWN = "/api/longshore/v1/users/current/second-factor"
SESSIONS = "/api/longshore/v1/sessions"
FORM = {"grant_type": "password", "service": "registry", "client_id": "test"}


async def begin(browser, password=PASSWORD):
    reply = await browser.ask("POST", OWN, json={"password": password})
    assert reply.status_code == 201, reply.text
    return Device(reply.json()["uri"])


async def enrol(browser, time):
    """The device, and the recovery codes."""
    device = await begin(browser)
    reply = await browser.ask("POST", f"{OWN}/confirmation", json={"code": device.code()})
    assert reply.status_code == 200, reply.text
    time.jump()
    return device, reply.json()["recovery_codes"]


@pytest.fixture
def time(monkeypatch):
    return Time.patched(monkeypatch)


@pytest.fixture
async def dora(management):
    """A browser in which dora is logged in."""
    management.dora = await management.add_user("dora")
    browser = Browser(management)
    assert (await browser.log_in("dora")).status_code == 200
    return browser


@pytest.fixture
async def nodes(database_url, tmp_path):
    """Two processes of one registry, with the user dora."""
    proxied = {"longshore": {"http": {"trustedproxies": ["127.0.0.1"]}}}
    async with (
        management_of(database_url, tmp_path, 0, **proxied) as one,
        management_of(database_url, tmp_path, 1, **proxied) as two,
    ):
        await one.add_user("dora")
        yield one, two


async def log_in(node, code, address="203.0.113.9", password=PASSWORD):
    form = {"principal": "dora", "password": password, "code": code}
    headers = {"X-Forwarded-For": address}
    return await node.ask("", "POST", "/c/login", data=form, headers=headers)


async def enrolled(nodes, time):
    browser = Browser(nodes[0])
    assert (await browser.log_in("dora")).status_code == 200
    return await enrol(browser, time)


def code_of(reply):
    return reply.json()["errors"][0]["code"]


def test_codes_are_those_of_the_specification():
    # RFC 6238 appendix B, of whose eight digits the last six are shown.
    secret = base64.b32encode(b"12345678901234567890").decode()
    vectors = {
        59: "94287082",
        1111111109: "07081804",
        1234567890: "89005924",
        20000000000: "65353130",
    }

    assert {at: code_at(secret, at) for at in vectors} == {
        at: code[2:] for at, code in vectors.items()
    }


async def test_a_user_enrols_a_device_and_needs_it_from_then_on(management, dora, time):
    before = (await dora.ask("GET", OWN)).json()
    assert before == {"enrolled": False, "required": False, "recovery_codes_left": 0}

    device, codes = await enrol(dora, time)

    assert device.account == "registry.test:dora"
    query = parse_qs(urlsplit(device.uri).query)
    assert query["issuer"] == ["registry.test"]
    assert len(base64.b32decode(device.secret)) == 20
    assert len(set(codes)) == 10
    shown = (await dora.ask("GET", OWN)).json()
    assert (shown["enrolled"], shown["recovery_codes_left"]) == (True, 10)
    # The browser in which she did it goes on, as a new session.
    assert (await dora.ask("PUT", f"/users/{management.dora}", json=PROFILE)).status_code == 200
    other = Browser(management)
    refused = await other.log_in("dora")
    assert (refused.status_code, code_of(refused)) == (401, "SECOND_FACTOR_NEEDED")
    assert not other.cookies
    refused = await other.log_in("dora", code=device.wrong())
    assert (refused.status_code, code_of(refused)) == (401, "UNAUTHORIZED")
    assert not other.cookies
    assert (await other.log_in("dora", code=f" {device.code()} ")).status_code == 200
    assert await other.is_in()
    # Who has none is asked for none.
    assert (await Browser(management).log_in("admin")).status_code == 200


PROFILE = {"email": "d@example.org", "realname": "Dora"}


async def test_what_was_not_confirmed_does_not_count(management, dora, time):
    first = await begin(dora)
    assert (await Browser(management).log_in("dora")).status_code == 200
    assert (await management.ask("dora", "GET", "/users/current")).status_code == 200
    refused = await dora.ask("POST", f"{OWN}/confirmation", json={"code": first.wrong()})
    assert refused.status_code == 400
    # The one that was begun last is the one that is meant.
    second = await begin(dora)
    refused = await dora.ask("POST", f"{OWN}/confirmation", json={"code": first.code()})
    assert refused.status_code == 400
    time.jump(3601)
    late = await dora.ask("POST", f"{OWN}/confirmation", json={"code": second.code()})
    assert late.status_code in (401, 404)
    again = Browser(management)
    await again.log_in("dora")
    late = await again.ask("POST", f"{OWN}/confirmation", json={"code": second.code()})
    assert late.status_code == 404
    assert await management.database.write(
        partial(store.remove_unconfirmed_second_factors, before=1e11)
    )


async def test_enrolling_needs_the_password_and_happens_once(management, dora, time):
    for password in ("Wrong1234", ""):
        refused = await dora.ask("POST", OWN, json={"password": password})
        assert refused.status_code == 403
    assert (await dora.ask("POST", OWN, json={})).status_code == 422
    await enrol(dora, time)
    assert (await dora.ask("POST", OWN, json={"password": PASSWORD})).status_code == 409


async def test_what_was_proved_without_it_ends_on_every_node(nodes, time):
    one, two = nodes
    here, there = Browser(one), Browser(two)
    await here.log_in("dora")
    await there.log_in("dora")
    # Remembered by both.
    for node in nodes:
        assert (await node.ask("dora", "GET", "/users/current")).status_code == 200
    asked = "/v2/token?service=longshore&offline_token=true"
    given = (await two.ask("dora", "GET", asked)).json()
    bearer = {"Authorization": f"Bearer {given['token']}"}
    assert (await two.ask("", "GET", "/v2/", headers=bearer)).status_code == 200
    before = dict(here.cookies)

    await enrol(here, time)

    for node in nodes:
        assert (await node.ask("dora", "GET", "/users/current")).status_code == 401
        assert (await node.ask("dora", "GET", "/v2/")).status_code == 401
        assert (await node.ask("", "GET", "/v2/", headers=bearer)).status_code == 401
        form = {
            "grant_type": "refresh_token",
            "refresh_token": given["refresh_token"],
            "service": "longshore",
            "client_id": "x",
        }
        assert (await node.ask("", "POST", "/v2/token", data=form)).status_code == 401
    assert not await there.is_in()
    assert await here.is_in()
    assert here.cookies["sid"] != before["sid"]
    assert not await Browser(one, before).is_in()
    here.registry = two
    assert await here.is_in()


async def test_programs_are_told_what_to_send_instead_of_the_password(management, dora, time):
    device, _ = await enrol(dora, time)
    form = {**FORM, "username": "dora", "password": PASSWORD}
    replies = [
        await management.ask("dora", "GET", "/v2/"),
        await management.ask("dora", "GET", "/v2/library/app/manifests/latest"),
        await management.ask("dora", "GET", "/v2/token?service=longshore"),
        await management.ask("", "POST", "/v2/token", data=form),
        await management.ask("dora", "GET", "/users/current"),
        # Once more, now that it was proved.
        await management.ask("dora", "GET", "/v2/"),
    ]
    for reply in replies:
        assert reply.status_code == 401
        message = reply.json()["errors"][0]["message"]
        assert "second factor" in message
        assert "access token" in message
        assert reply.headers["www-authenticate"]
    made = await dora.ask(
        "POST", "/api/longshore/v1/tokens", json={"name": "x", "scopes": ["pull"]}
    )
    token = made.json()["token"]
    for path in ("/v2/", "/v2/token?service=longshore"):
        assert (await management.ask("dora", "GET", path, password=token)).status_code == 200
    # Only who has the password learns of it.
    wrong = await management.ask("dora", "GET", "/v2/", password="Wrong1234")
    assert "second factor" not in wrong.text
    # That is no guessing: the user is not held up for their own programs.
    for _ in range(8):
        await management.ask("dora", "GET", "/v2/")
    refused = await Browser(management).log_in("dora")
    assert code_of(refused) == "SECOND_FACTOR_NEEDED"
    # A code does not go with the password: most programs would send it again and again.
    for secret in (PASSWORD + device.code(), f"{PASSWORD}:{device.code()}"):
        reply = await management.ask("dora", "GET", "/v2/", password=secret)
        assert reply.status_code == 401
        assert "unknown user or wrong password" in reply.text


async def test_a_code_is_good_for_one_login_at_one_node(nodes, time):
    device, _ = await enrolled(nodes, time)
    code = device.code()
    replies = []

    async def attempt(node):
        replies.append(await log_in(node, code))

    async with anyio.create_task_group() as group:
        for node in (*nodes, *nodes):
            group.start_soon(attempt, node)

    assert sorted(reply.status_code for reply in replies) == [200, 401, 401, 401]
    assert all("used already" in reply.text for reply in replies if reply.status_code != 200)
    # Nor is one from before it, although a slow clock might show that.
    assert (await log_in(nodes[1], device.code(-1))).status_code == 401
    time.jump()
    time.jump(300)
    assert (await log_in(nodes[1], device.code())).status_code == 200


async def test_a_clock_may_be_a_step_ahead_or_behind(management, dora, time):
    device, _ = await enrol(dora, time)
    for steps, status in ((-2, 401), (-1, 200), (1, 200), (2, 401)):
        time.jump(120)
        reply = await Browser(management).log_in("dora", code=device.code(steps))
        assert reply.status_code == status, steps


async def test_guesses_at_the_same_time_are_all_counted(nodes, time):
    device, _ = await enrolled(nodes, time)
    replies = []

    async def guess(number):
        replies.append(await log_in(nodes[number % 2], device.wrong()))

    async with anyio.create_task_group() as group:
        for number in range(16):
            group.start_soon(guess, number)

    found = [reply.status_code for reply in replies]
    assert found.count(401) == 5
    assert found.count(429) == 11
    # The right code waits, too; not for who logs in elsewhere.
    held_up = await log_in(nodes[0], device.code())
    assert held_up.status_code == 429
    assert int(held_up.headers["retry-after"]) >= 1
    assert (await log_in(nodes[0], device.code(), "203.0.113.10")).status_code == 200


async def test_the_right_password_does_not_forget_wrong_codes(nodes, time):
    device, _ = await enrolled(nodes, time)
    for number in range(5):
        assert (await log_in(nodes[0], device.wrong())).status_code == 401
        # A process that does not remember the password, and nobody's code.
        await log_in(nodes[1], "", password=PASSWORD)
        await nodes[1].ask("dora", "GET", f"/v2/?{number}")

    assert (await log_in(nodes[0], device.code())).status_code == 429
    time.jump(60)
    assert (await log_in(nodes[0], device.code())).status_code == 200
    # Who got in begins anew.
    for _ in range(4):
        assert (await log_in(nodes[0], device.wrong())).status_code == 401


async def test_recovery_codes_are_good_once_each(nodes, time):
    device, codes = await enrolled(nodes, time)
    replies = []

    async def attempt(node):
        replies.append(await log_in(node, codes[0]))

    async with anyio.create_task_group() as group:
        for node in nodes:
            group.start_soon(attempt, node)
    assert sorted(reply.status_code for reply in replies) == [200, 401]
    # As people type them.
    assert (await log_in(nodes[1], codes[1].lower().replace("-", " "))).status_code == 200
    browser = Browser(nodes[0])
    await browser.log_in("dora", code=device.code())
    assert (await browser.ask("GET", OWN)).json()["recovery_codes_left"] == 8
    time.jump()
    proof = {"password": PASSWORD, "code": device.code()}
    reply = await browser.ask("POST", f"{OWN}/recovery-codes", json=proof)
    fresh = reply.json()["recovery_codes"]
    assert len(fresh) == 10
    assert (await log_in(nodes[0], codes[2])).status_code == 401
    assert (await log_in(nodes[0], fresh[0])).status_code == 200

    def rows(connection):
        return str(connection.execute(text("SELECT * FROM recovery_codes")).all())

    kept = await nodes[0].database.read(rows)
    assert not any(code in kept or code.replace("-", "") in kept for code in (*codes, *fresh))


async def test_removing_it_needs_the_password_and_a_code(management, dora, time):
    device, codes = await enrol(dora, time)
    other = Browser(management)
    assert (await other.log_in("dora", code=device.code())).status_code == 200
    time.jump()
    for proof in (
        {"password": "Wrong1234", "code": device.code()},
        {"password": PASSWORD, "code": device.wrong()},
        {"password": PASSWORD, "code": ""},
    ):
        for what in ("removal", "recovery-codes"):
            refused = await dora.ask("POST", f"{OWN}/{what}", json=proof)
            assert refused.status_code == 403, refused.text
            time.jump(300)
    proof = {"password": PASSWORD, "code": device.code()}
    assert (await dora.ask("POST", f"{OWN}/removal", json=proof)).status_code == 200

    assert await dora.is_in()
    assert not await other.is_in()
    assert (await Browser(management).log_in("dora")).status_code == 200
    assert (await management.ask("dora", "GET", "/v2/")).status_code == 200
    assert (await dora.ask("POST", f"{OWN}/removal", json=proof)).status_code == 404
    # Another device, and nothing of the former one.
    second, _ = await enrol(dora, time)
    assert second.secret != device.secret
    assert (await Browser(management).log_in("dora", code=device.code())).status_code == 401
    assert (await Browser(management).log_in("dora", code=codes[5])).status_code == 401


async def test_administrators_help_who_has_lost_the_device(management, dora, time, tmp_path):
    await enrol(dora, time)
    path = f"/api/longshore/v1/users/{management.dora}/second-factor"
    assert (await management.ask("admin", "GET", path)).json()["enrolled"]
    assert (await dora.ask("DELETE", path)).status_code == 403
    assert (await management.ask("admin", "DELETE", path)).status_code == 200
    assert not await dora.is_in()
    assert (await dora.log_in("dora")).status_code == 200
    assert (await management.ask("admin", "DELETE", path)).status_code == 404
    # On the machine of the registry, too.
    await enrol(dora, time)

    def command(*words):
        file = str(tmp_path / "config-0.yml")
        with pytest.raises(SystemExit) as end:
            main(["user", "second-factor", "dora", *words, "--config", file])
        assert not end.value.code

    await anyio.to_thread.run_sync(command)
    await anyio.to_thread.run_sync(command, "--reset")
    assert not await dora.is_in()
    assert (await dora.log_in("dora")).status_code == 200


async def test_nobody_takes_away_their_own_with_an_open_browser_alone(management, time):
    browser = Browser(management)
    await browser.log_in("admin")
    await enrol(browser, time)

    refused = await browser.ask("DELETE", "/api/longshore/v1/users/1/second-factor")

    assert refused.status_code == 403
    assert "removal" in refused.text


async def test_a_user_who_is_removed_leaves_nothing(management, dora, time):
    await enrol(dora, time)
    await management.change(store.remove_user, name="dora")

    def count(connection):
        query = (
            "SELECT (SELECT count(*) FROM second_factors) + (SELECT count(*) FROM recovery_codes)"
        )
        return connection.execute(text(query)).scalar()

    assert await management.database.read(count) == 0
    await management.add_user("dora")
    assert (await Browser(management).log_in("dora")).status_code == 200


async def test_secrets_are_told_once_and_written_nowhere(management, dora, time, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    device, codes = await enrol(dora, time)
    used = device.code()
    await Browser(management).log_in("dora", code=used)
    await Browser(management).log_in("dora", code=codes[0])
    wrong = device.wrong()
    await Browser(management).log_in("dora", code=wrong)
    expected = {
        "a second factor was begun",
        "has a second factor from now on",
        "used a recovery code; 9 are left",
        "wrong code of the second factor",
    }
    rows: list[dict[str, str]] = []
    with anyio.fail_after(20):
        while not expected <= {row.get("operation_description", "") for row in rows}:
            await anyio.sleep(0.1)
            found = (await management.ask("admin", "GET", "/auditlog-exts?page_size=100")).json()
            rows = [row for row in found if row["resource"] == "dora"]

    def everything(connection):
        names = ("second_factors", "recovery_codes", "users", "sessions", "audit_log")
        tables = every_table().tables
        return str([connection.execute(tables[name].select()).all() for name in names])

    answers = str(
        [
            (await dora.ask("GET", path)).text
            for path in (OWN, SESSIONS, "/users/current", f"/users/{management.dora}")
        ]
    )
    kept = await management.database.read(everything)
    secret = base64.b32decode(device.secret).hex()
    for place in (kept, str(rows), answers, caplog.text):
        for hidden in (device.secret, secret, *codes, codes[0].replace("-", "")):
            assert hidden not in place
    for place in (str(rows), caplog.text):
        assert PASSWORD not in place
        assert f"'{used}'" not in place


class TestDemanded:
    """longshore.logins.secondfactor."""

    @pytest.fixture
    def start(self, database_url, tmp_path):
        def started(demand):
            sections: dict[str, Any] = {"longshore": {"logins": {"secondfactor": demand}}}
            return management_of(database_url, tmp_path, **sections)

        return started

    async def test_a_session_without_is_good_for_enrolling_and_nothing_else(self, start, time):
        async with start("everybody") as management:
            id = await management.add_user("dora")
            await management.add_project("shown", {"dora": Role.PROJECT_ADMIN}, public=True)
            browser = Browser(management)
            assert (await browser.log_in("dora")).status_code == 200
            for method, path in (
                ("GET", "/users/current"),
                ("PUT", f"/users/{id}"),
                ("GET", f"/users/{id}"),
                ("GET", SESSIONS),
                ("POST", "/projects"),
                ("DELETE", "/projects/shown"),
                ("GET", "/projects/shown/members"),
            ):
                reply = await browser.ask(method, path, json=PROFILE | {"project_name": "x"})
                assert reply.status_code == 401, (method, path)
                assert code_of(reply) == "SECOND_FACTOR_NOT_ENROLLED"
            # What nobody needs a login for.
            assert (await browser.ask("GET", "/projects/shown")).status_code == 200
            shown = (await browser.ask("GET", OWN)).json()
            assert (shown["enrolled"], shown["required"]) == (False, True)
            refused = await management.ask("dora", "GET", "/v2/")
            assert refused.status_code == 401
            assert "longshore.logins.secondfactor" in refused.text
            before = browser.cookies["sid"]

            device, _ = await enrol(browser, time)

            assert await browser.is_in()
            assert browser.cookies["sid"] != before
            assert not await Browser(management, {"sid": before}).is_in()
            assert (await browser.log_in("dora", code=device.code())).status_code == 200
            time.jump()
            proof = {"password": PASSWORD, "code": device.code()}
            assert (await browser.ask("POST", f"{OWN}/removal", json=proof)).status_code == 200
            assert not await browser.is_in()
            assert (await browser.ask("GET", OWN)).json()["required"]
            assert (await browser.ask("GET", "/c/log_out")).status_code == 200
            assert (await browser.ask("GET", OWN)).status_code == 401

    async def test_administrators_alone(self, start):
        async with start("administrators") as management:
            await management.add_user("dora")
            browser = Browser(management)
            await browser.log_in("dora")
            assert await browser.is_in()
            assert (await management.ask("dora", "GET", "/v2/")).status_code == 200
            await browser.log_in("admin")
            assert not await browser.is_in()
            assert (await browser.ask("GET", "/users")).status_code == 401
            assert (await management.ask("admin", "GET", "/users")).status_code == 401
            await management.change(store.update_user, id=2, is_admin=True)
            await browser.log_in("dora")
            assert not await browser.is_in()

    async def test_who_logged_in_at_a_provider_had_it_there(self, start):
        async with start("everybody") as management:
            id = await management.add_user("dora")
            standing = await management.database.read(
                partial(store.standing, user="dora", project="")
            )
            opened = Sessions(management.database, 3600).open(standing, "", "", "oidc:one")
            await management.database.write(opened.work)
            browser = Browser(management, {"sid": opened.text})
            assert await browser.is_in()
            (listed,) = (await browser.ask("GET", SESSIONS)).json()
            assert listed["provider"] == "oidc:one"
            assert id
