"""Every role and every action, at the door, on both databases."""

import json

import pytest

from longshore.identity import store
from longshore.identity.model import Role
from longshore.testing.builders import image
from tests.identity.parts import IMAGE, PASSWORD, ROLES, node, populated

pytestmark = pytest.mark.anyio

#: who -> pull, push, delete and mount of something in the private and in the public project
TABLE = {
    "root": ("200 201 202 201", "200 201 202 201"),
    "project-admin": ("200 201 202 201", "200 201 202 201"),
    "maintainer": ("200 201 202 201", "200 201 202 201"),
    "developer": ("200 201 403 201", "200 201 403 201"),
    "guest": ("200 403 403 403", "200 403 403 403"),
    "limited-guest": ("200 403 403 403", "200 403 403 403"),
    "stranger": ("404 403 404 403", "200 403 403 403"),
    "": ("401 401 401 401", "200 401 401 401"),
}


@pytest.mark.parametrize("who", TABLE)
async def test_the_table_of_roles(cluster, who):
    async with populated(cluster) as registry:
        outcome = []
        for project in ("private", "public"):
            name = f"{project}/app"
            pulled = await registry.ask(who, "GET", f"/v2/{name}/manifests/latest")
            blob = await registry.ask(who, "GET", f"/v2/{name}/blobs/{IMAGE.blobs[0].digest}")
            tags = await registry.ask(who, "GET", f"/v2/{name}/tags/list")
            assert pulled.status_code == blob.status_code == tags.status_code
            pushed = await registry.push(who, name)
            mount = f"/v2/{name}/blobs/uploads/?mount={IMAGE.blobs[0].digest}&from=tool"
            mounted = await registry.ask(who, "POST", mount)
            path = f"/v2/{name}/manifests/{IMAGE.manifest.digest}"
            deleted = await registry.ask(who, "DELETE", path)
            found = (pulled.status_code, pushed, deleted.status_code, mounted.status_code)
            outcome.append(" ".join(map(str, found)))
        assert tuple(outcome) == TABLE[who]


async def test_who_may_not_see_a_project_cannot_tell_it_from_one_that_is_not_there(cluster):
    async with populated(cluster) as registry:
        for who in ("stranger", ""):
            for method, path in (
                ("GET", "manifests/latest"),
                ("HEAD", "manifests/latest"),
                ("DELETE", "manifests/latest"),
                ("POST", "blobs/uploads/"),
                ("PUT", "manifests/latest"),
                ("GET", "tags/list"),
            ):
                hidden = await registry.ask(who, method, f"/v2/private/app/{path}")
                missing = await registry.ask(who, method, f"/v2/nowhere/app/{path}")
                assert hidden.status_code == missing.status_code >= 400
                assert hidden.text.replace("private", "nowhere") == missing.text


async def test_what_may_not_be_pulled_cannot_be_mounted(cluster):
    secret = image([b"what only members may read"])
    async with populated(cluster) as registry:
        await registry.push("root", "private/app", secret)
        await registry.change(
            store.set_member, project="library", user="stranger", role=Role.DEVELOPER
        )
        for source in ("&from=private/app", ""):
            mount = f"/v2/tool/blobs/uploads/?mount={secret.blobs[1].digest}{source}"
            assert (await registry.ask("stranger", "POST", mount)).status_code == 202
        mount = f"/v2/tool/blobs/uploads/?mount={secret.blobs[1].digest}&from=private/app"
        assert (await registry.ask("root", "POST", mount)).status_code == 201


async def test_the_catalog_names_what_one_may_pull(cluster):
    async with populated(cluster) as registry:
        for who, names in (
            ("root", ["library/tool", "private/app", "public/app"]),
            ("limited-guest", ["library/tool", "private/app", "public/app"]),
            ("stranger", ["library/tool", "public/app"]),
        ):
            whole = await registry.ask(who, "GET", "/v2/_catalog")
            assert whole.json() == {"repositories": names}
            paged: list[str] = []
            path: str | None = "/v2/_catalog?n=1"
            while path:
                page = await registry.ask(who, "GET", path)
                paged += page.json()["repositories"]
                path = page.links.get("next", {}).get("url")
            assert paged == names
        assert (await registry.ask("", "GET", "/v2/_catalog")).status_code == 401


async def test_a_push_to_a_project_that_is_not_there_says_so(cluster):
    async with populated(cluster) as registry:
        for who, words in (
            ("root", "make it with: longshore project add nowhere"),
            ("guest", "project 'nowhere' does not exist, or user 'guest' is no member of it"),
        ):
            refused = await registry.ask(who, "POST", "/v2/nowhere/app/blobs/uploads/")
            (error,) = refused.json()["errors"]
            assert refused.status_code == 403
            assert error["code"] == "DENIED"
            assert words in error["message"]
            assert words in error["detail"][0]["Reason"]


async def test_a_change_of_roles_counts_at_once_on_every_node(cluster):
    async with populated(cluster) as one, node(cluster) as two:
        path = "/v2/private/app/manifests/latest"
        assert (await two.ask("stranger", "GET", path)).status_code == 404
        await one.change(
            store.set_member, project="private", user="stranger", role=Role.LIMITED_GUEST
        )
        assert (await two.ask("stranger", "GET", path)).status_code == 200
        assert await two.push("stranger", "private/app") == 403
        await one.change(store.set_member, project="private", user="stranger", role=Role.DEVELOPER)
        assert await two.push("stranger", "private/app") == 201
        await one.change(store.remove_member, project="private", user="stranger")
        assert (await two.ask("stranger", "GET", path)).status_code == 404
        await one.change(store.set_public, name="private", public=True)
        assert (await two.ask("", "GET", path)).status_code == 200
        await one.change(store.set_public, name="private", public=False)
        assert (await two.ask("", "GET", path)).status_code == 401


async def test_a_new_password_counts_at_once_on_every_node(cluster):
    from longshore.access.passwords import hash_argon2

    async with populated(cluster) as one, node(cluster) as two:
        for found in (one, two):
            assert (await found.ask("guest", "GET", "/v2/")).status_code == 200
        new = hash_argon2(b"Another12")
        await one.change(store.set_password, name="guest", password_hash=new)
        for found in (one, two):
            assert (await found.ask("guest", "GET", "/v2/")).status_code == 401
            assert (await found.ask("guest", "GET", "/v2/", "Another12")).status_code == 200


async def test_who_is_disabled_or_removed_is_refused_at_once(cluster):
    async with populated(cluster) as one, node(cluster) as two:
        assert (await two.ask("guest", "GET", "/v2/")).status_code == 200
        await one.change(store.set_disabled, name="guest", disabled=True)
        refused = await two.ask("guest", "GET", "/v2/")
        guessed = await two.ask("guest", "GET", "/v2/", "Wrong123")
        assert refused.status_code == guessed.status_code == 401
        assert "user 'guest' is disabled" in refused.text
        assert "disabled" not in guessed.text
        await one.change(store.set_disabled, name="guest", disabled=False)
        assert (await two.ask("guest", "GET", "/v2/")).status_code == 200
        await one.change(store.remove_user, name="guest")
        assert (await two.ask("guest", "GET", "/v2/")).status_code == 401
        # A later user of that name, even with the same hash, is somebody else.
        await one.change(store.add_user, name="guest", password_hash=None, now=1.0)
        assert (await two.ask("guest", "GET", "/v2/")).status_code == 401


async def test_a_login_is_paid_once_and_guessing_gets_slower(cluster, monkeypatch):
    from longshore.access import passwords

    paid: list[str] = []
    verify = passwords.verify

    def counted(hashed: str, password: bytes) -> bool:
        paid.append(hashed)
        return verify(hashed, password)

    monkeypatch.setattr(passwords, "verify", counted)
    async with populated(cluster) as registry:
        paid.clear()
        for _ in range(5):
            assert (await registry.ask("guest", "GET", "/v2/")).status_code == 200
        assert len(paid) == 1
        # An unknown user costs the same check.
        assert (await registry.ask("nobody", "GET", "/v2/")).status_code == 401
        assert len(paid) == 2
        for _ in range(5):
            wrong = await registry.ask("guest", "GET", "/v2/", "Wrong123")
            assert wrong.status_code == 401
        assert (await registry.ask("guest", "GET", "/v2/", "Wrong123")).status_code == 429
        assert (await registry.ask("guest", "GET", "/v2/")).status_code == 200


async def test_passwords_and_hashes_show_up_nowhere(cluster, caplog):
    caplog.set_level("DEBUG")
    async with populated(cluster) as registry:
        said = [await registry.ask("guest", "POST", "/v2/private/app/blobs/uploads/")]
        said.append(await registry.ask("guest", "GET", "/v2/", "Wrong123"))
    text = json.dumps([answer.text for answer in said])
    for secret in (PASSWORD, "Wrong123", "argon2"):
        assert secret not in text
    # SQLAlchemy's own log is off unless somebody turns it on.
    assert PASSWORD not in caplog.text


def test_each_role_has_a_word_and_harbors_number():
    assert {word: int(role) for word, role in ROLES.items()} == {
        "project-admin": 1,
        "developer": 2,
        "guest": 3,
        "maintainer": 4,
        "limited-guest": 5,
    }
