"""Refresh tokens: what `docker login` keeps instead of a password, and everything that ends them."""

import time
from functools import partial

import pytest
from sqlalchemy import Connection, select

from longshore.access.passwords import hash_argon2
from longshore.identity import store
from longshore.identity.model import RefreshToken
from longshore.identity.settings import TokenServiceSettings
from longshore.identity.store import refresh_tokens
from longshore.identity.tables import refresh_tokens as table
from longshore.identity.token_task import TokenUpkeep
from tests.identity import tokens
from tests.identity.parts import ENCRYPTION, HASH, Node, node, populated
from tests.identity.test_signing_keys import _Context
from tests.services.in_process import Cluster

pytestmark = pytest.mark.anyio

SCOPE = "repository:private/app:pull,push"
MANIFEST = "/v2/private/app/manifests/latest"


async def listed(node: Node, user: str) -> list[RefreshToken]:
    def read(connection: Connection) -> list[RefreshToken]:
        return store.list_refresh_tokens(connection, store.user_id(connection, user))

    return await node.people.read(read)


@pytest.mark.parametrize("path", ["/v2/token", "/service/token"])
async def test_docker_logs_in_by_get_and_goes_on_without_a_password(
    cluster: Cluster, path: str
) -> None:
    async with populated(cluster) as one, node(cluster) as two:
        more = {"offline_token": "true", "client_id": "docker", "account": "developer"}
        response = await tokens.fetch(one, "developer", path=path, **more)
        kept = response.json()["refresh_token"]
        assert response.headers["cache-control"] == "no-store"
        assert kept.startswith("lsr_")

        for process in (one, two):
            response = await tokens.refresh(process, kept, SCOPE)
            assert response.status_code == 200
            body = response.json()
            assert body["scope"] == SCOPE
            assert "refresh_token" not in body  # docker keeps the first one
            assert (await tokens.use(one, body["access_token"], "GET", MANIFEST)).is_success


async def test_containerd_logs_in_by_post(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        kept = await tokens.log_in(one, "guest")
        response = await tokens.refresh(one, kept, SCOPE)
        assert response.json()["scope"] == "repository:private/app:pull"


async def test_one_is_given_only_to_who_asks_for_it_and_has_logged_in(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        for response in (
            await tokens.fetch(one, "guest"),
            await tokens.fetch(one, "guest", offline_token="false"),
            await tokens.fetch(one, "", offline_token="true"),
        ):
            assert response.status_code == 200
            assert "refresh_token" not in response.json()
        wrong = await one.ask("guest", "GET", "/v2/token?offline_token=true", password="wrong")
        assert wrong.status_code == 401
        assert await listed(one, "guest") == []


async def test_only_its_hash_is_kept_and_where_it_is_from_is_shown(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        kept = await tokens.log_in(one, "guest")
        stored = await one.people.read(lambda db: db.execute(select(table)).one()._mapping)
        assert kept not in map(str, stored.values())
        (shown,) = await listed(one, "guest")
        assert (shown.user, shown.service, shown.client_id) == ("guest", "longshore", "docker")
        assert shown.address
        assert shown.created_at == shown.last_used_at == pytest.approx(time.time(), abs=60)


async def test_it_has_the_rights_of_the_moment(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        kept = await tokens.log_in(one, "developer")
        await one.change(store.remove_member, project="private", user="developer")
        assert (await tokens.refresh(one, kept, SCOPE)).json()["scope"] == ""


def _remove_all(connection: Connection, name: str) -> None:
    store.remove_refresh_tokens(connection, store.user_id(connection, name))


def _expire(connection: Connection, name: str) -> None:
    (found,) = store.list_refresh_tokens(connection, store.user_id(connection, name))
    store.touch_refresh_token(connection, found.id, time.time(), time.time() - 1)


def _make_anew(connection: Connection, name: str) -> None:
    store.remove_user(connection, name)
    store.add_user(connection, name, HASH, 1.0)


#: To whom what happens.
ENDS = {
    "guest": partial(store.set_password, password_hash=hash_argon2(b"Another12")),
    "limited-guest": partial(store.set_disabled, disabled=True),
    "developer": store.remove_user,
    "maintainer": _make_anew,
    "project-admin": _remove_all,
    "stranger": _expire,
}


async def test_it_ends_at_once_with_the_password_the_user_and_its_time(cluster: Cluster) -> None:
    async with populated(cluster) as one, node(cluster) as two:
        for user, end in ENDS.items():
            kept = await tokens.log_in(one, user)
            assert (await tokens.refresh(two, kept, SCOPE)).status_code == 200
            await one.change(end, name=user)
            for process in (one, two):
                response = await tokens.refresh(process, kept, SCOPE)
                assert response.status_code == 401, user
                assert response.headers["www-authenticate"].startswith("Basic ")
                assert kept not in response.text


async def test_a_refusal_says_what_to_do(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        for text in ("lsr_" + "x" * 43, "lsr_", "x", "lsr_" + "ü" * 50, "lsr_" + "x" * 50_000):
            response = await tokens.refresh(one, text)
            assert response.status_code == 401
            assert "log in again with: docker login" in response.text


async def test_it_is_for_one_service_and_for_every_client_that_reads_the_file_of_logins(
    cluster: Cluster,
) -> None:
    async with populated(cluster) as one:
        kept = await tokens.log_in(one, "guest")
        for client in ("docker", "buildkit-client", "containers/image", ""):
            assert (await tokens.refresh(one, kept, client_id=client)).status_code == 200
        assert (await tokens.refresh(one, kept, service="harbor-registry")).status_code == 401


async def test_nobody_revokes_what_is_another_users(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        kept = await tokens.log_in(one, "guest")
        (found,) = await listed(one, "guest")

        def by_another(connection: Connection) -> bool:
            other = store.user_id(connection, "stranger")
            return store.remove_refresh_token(connection, other, found.id)

        def by_themselves(connection: Connection) -> bool:
            return store.remove_refresh_token(
                connection, store.user_id(connection, "guest"), found.id
            )

        assert not await one.change(by_another)
        assert (await tokens.refresh(one, kept)).status_code == 200
        assert await one.change(by_themselves)
        assert (await tokens.refresh(one, kept)).status_code == 401


async def test_use_lengthens_its_life_and_is_noted(cluster: Cluster) -> None:
    settings = TokenServiceSettings(refreshlifetime=10_000.0)
    async with populated(cluster, settings) as one:
        kept = await tokens.log_in(one, "guest")
        (before,) = await listed(one, "guest")
        await one.change(
            store.touch_refresh_token,
            id=before.id,
            now=before.created_at - 5000,
            expires_at=before.created_at + 5000,
        )
        await tokens.refresh(one, kept)
        (after,) = await listed(one, "guest")
        assert after.last_used_at >= before.created_at
        assert after.expires_at == pytest.approx(after.last_used_at + 10_000)
        await tokens.refresh(one, kept)
        assert await listed(one, "guest") == [after]  # a push asks often, and is noted once


async def test_a_user_keeps_those_that_were_used_last(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh_tokens, "MOST", 3)
    async with populated(cluster) as one:
        first, *others = [await tokens.log_in(one, "guest") for _ in range(3)]
        (*_, oldest) = await listed(one, "guest")
        later = time.time() + 60
        touch = partial(store.touch_refresh_token, id=oldest.id, now=later, expires_at=later + 60)
        await one.change(touch)
        newest = await tokens.log_in(one, "guest")
        answers = {kept: await tokens.refresh(one, kept) for kept in (first, *others, newest)}
        assert [answers[kept].status_code for kept in (first, *others, newest)] == [
            200,
            401,
            200,
            200,
        ]


async def test_expired_ones_are_forgotten_by_the_job(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        await tokens.log_in(one, "guest")
        await one.change(_expire, name="guest")
        said = _Context()
        await TokenUpkeep(one.people, ENCRYPTION).run(said)  # type: ignore[arg-type]
        assert said.lines == ["1 refresh tokens had expired"]
        assert await listed(one, "guest") == []


async def test_none_are_given_or_taken_where_they_are_switched_off(cluster: Cluster) -> None:
    async with populated(cluster) as one:
        kept = await tokens.log_in(one, "guest")
    async with node(cluster, tokens=TokenServiceSettings(refreshlifetime=0.0)) as two:
        response = await tokens.fetch(two, "guest", offline_token="true")
        assert "refresh_token" not in response.json()
        response = await tokens.refresh(two, kept)
        assert response.status_code == 400
        assert response.json()["errors"][0]["detail"] == {"error": "unsupported_grant_type"}
