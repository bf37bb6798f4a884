"""Logins are read from and written to the files that docker and podman use."""

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from longshore.client.credentials import Credential
from longshore.client.credhelper import CredentialHelper
from longshore.client.dockerconfig import DOCKER_HUB_KEY, LoginFiles
from longshore.client.errors import CredentialsUnavailable

pytestmark = pytest.mark.anyio

REGISTRY = "registry.example:5000"
ALICE = Credential("alice", "se:cret")

HELPER = """\
#!/usr/bin/env python3
import json, pathlib, sys, time
store = pathlib.Path(__file__).with_suffix(".json")
known = json.loads(store.read_text()) if store.exists() else {}
verb, given = sys.argv[1], sys.stdin.read()
if verb == "store":
    entry = json.loads(given)
    known[entry["ServerURL"]] = entry
elif verb == "list":
    print(json.dumps({key: entry["Username"] for key, entry in known.items()}))
elif given == "slow":
    time.sleep(60)
elif given == "locked":
    print("the key chain is locked\\x1b[2J")
    sys.exit(1)
elif given not in known:
    print("credentials not found in native keychain")
    sys.exit(1)
elif verb == "get":
    print(json.dumps(known[given]))
elif verb == "erase":
    del known[given]
store.write_text(json.dumps(known))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home directory of its own, and a place for programs."""
    return {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Docker's file, which is not there yet."""
    (tmp_path / ".docker").mkdir()
    return tmp_path / ".docker" / "config.json"


@pytest.fixture
def helper(tmp_path: Path) -> str:
    """The name of a credential helper that keeps its logins in a file."""
    path = tmp_path / "bin" / "docker-credential-drawer"
    path.parent.mkdir()
    path.write_text(HELPER)
    path.chmod(0o755)
    return "drawer"


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


async def test_a_login_is_stored_readable_by_its_owner_alone(
    environment: dict[str, str], config: Path
) -> None:
    stored = await LoginFiles(environment).store(REGISTRY, ALICE)

    assert stored.file == config
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert json.loads(config.read_bytes()) == {"auths": {REGISTRY: auth("alice", "se:cret")}}
    assert await LoginFiles(environment).find(REGISTRY) == ALICE


async def test_what_is_not_understood_is_kept(environment: dict[str, str], config: Path) -> None:
    other = {
        "HttpHeaders": {"X": "y"},
        "auths": {"other.example": auth("bob", "b")},
        "psFormat": "z",
    }
    write(config, other)

    await LoginFiles(environment).store(REGISTRY, ALICE)
    assert await LoginFiles(environment).erase(REGISTRY)

    assert json.loads(config.read_bytes()) == other


async def test_a_linked_configuration_stays_linked(
    environment: dict[str, str], config: Path, tmp_path: Path
) -> None:
    write(tmp_path / "dotfiles" / "config.json", {})
    config.symlink_to(tmp_path / "dotfiles" / "config.json")

    await LoginFiles(environment).store(REGISTRY, ALICE)

    assert config.is_symlink()
    assert REGISTRY in (tmp_path / "dotfiles" / "config.json").read_text()


async def test_an_identity_token_takes_the_place_of_the_password(
    environment: dict[str, str], config: Path
) -> None:
    token = Credential("alice", identity_token="refresh")

    await LoginFiles(environment).store(REGISTRY, token)

    assert json.loads(config.read_bytes())["auths"][REGISTRY] == {
        **auth("alice", ""),
        "identitytoken": "refresh",
    }
    assert await LoginFiles(environment).find(REGISTRY) == token


@pytest.mark.parametrize(
    "key",
    ["registry.example:5000", "https://registry.example:5000", "https://registry.example:5000/v1/"],
)
async def test_a_registry_is_found_as_older_programs_wrote_it(
    environment: dict[str, str], config: Path, key: str
) -> None:
    write(config, {"auths": {key: auth("alice", "se:cret")}})

    assert await LoginFiles(environment).find(REGISTRY) == ALICE
    assert await LoginFiles(environment).find("registry.example") is None


async def test_docker_hub_has_its_old_name(environment: dict[str, str], config: Path) -> None:
    await LoginFiles(environment).store("docker.io", ALICE)

    assert list(json.loads(config.read_bytes())["auths"]) == [DOCKER_HUB_KEY]
    assert await LoginFiles(environment).find("docker.io") == ALICE


async def test_podmans_file_is_read_after_dockers(
    environment: dict[str, str], config: Path, tmp_path: Path
) -> None:
    write(config, {"auths": {"one.example": auth("docker", "d")}})
    both = {"one.example": auth("podman", "p"), "two.example/team": auth("podman", "p")}
    write(tmp_path / "run" / "containers" / "auth.json", {"auths": both})
    logins = LoginFiles({**environment, "XDG_RUNTIME_DIR": str(tmp_path / "run")})

    assert await logins.find("one.example") == Credential("docker", "d")
    assert await logins.find("two.example") == Credential("podman", "p")


async def test_a_named_file_is_the_first_and_the_one_that_is_written(
    environment: dict[str, str], config: Path, tmp_path: Path
) -> None:
    write(config, {"auths": {REGISTRY: auth("docker", "d")}})
    logins = LoginFiles({**environment, "REGISTRY_AUTH_FILE": str(tmp_path / "my.json")})

    assert await logins.find(REGISTRY) == Credential("docker", "d")
    await logins.store(REGISTRY, ALICE)
    assert await logins.find(REGISTRY) == ALICE
    assert (tmp_path / "my.json").exists()


async def test_the_docker_configuration_may_be_elsewhere(
    environment: dict[str, str], tmp_path: Path
) -> None:
    logins = LoginFiles({**environment, "DOCKER_CONFIG": str(tmp_path / "elsewhere")})

    stored = await logins.store(REGISTRY, ALICE)

    assert stored.file == tmp_path / "elsewhere" / "config.json"


@pytest.mark.parametrize("setting", ["credsStore", "credHelpers"])
async def test_a_credential_helper_keeps_the_secret(
    environment: dict[str, str], config: Path, helper: str, setting: str
) -> None:
    write(config, {setting: helper if setting == "credsStore" else {REGISTRY: helper}})
    logins = LoginFiles(environment)

    stored = await logins.store(REGISTRY, ALICE)
    found = await logins.find(REGISTRY)
    listed = await CredentialHelper(helper, environment).list()

    assert (stored.helper, stored.file) == ("docker-credential-drawer", None)
    assert found == ALICE
    assert listed == {REGISTRY: "alice"}
    assert json.loads(config.read_bytes())["auths"] == {REGISTRY: {}}
    assert await logins.erase(REGISTRY)
    assert not await logins.erase(REGISTRY)
    assert await logins.find(REGISTRY) is None


async def test_a_helper_keeps_an_identity_token_under_a_special_name(
    environment: dict[str, str], config: Path, helper: str
) -> None:
    write(config, {"credsStore": helper})
    logins = LoginFiles(environment)

    await logins.store(REGISTRY, Credential("alice", identity_token="refresh"))

    assert await CredentialHelper(helper, environment).list() == {REGISTRY: "<token>"}
    assert await logins.find(REGISTRY) == Credential(identity_token="refresh")


async def test_a_helper_that_is_missing_is_named(environment: dict[str, str], config: Path) -> None:
    write(config, {"credsStore": "nowhere"})

    with pytest.raises(CredentialsUnavailable, match="docker-credential-nowhere is not installed"):
        await LoginFiles(environment).find(REGISTRY)


async def test_a_helper_that_hangs_is_left(environment: dict[str, str], helper: str) -> None:
    with pytest.raises(CredentialsUnavailable, match="did not answer"):
        await CredentialHelper(helper, environment, timeout=0.5).get("slow")


async def test_what_a_helper_complains_of_is_shown_safely(
    environment: dict[str, str], helper: str
) -> None:
    with pytest.raises(CredentialsUnavailable, match=r"the key chain is locked \[2J"):
        await CredentialHelper(helper, environment).get("locked")


@pytest.mark.parametrize("name", ["../evil", "a b", "", "-x", "a/b"])
async def test_a_helpers_name_is_no_path(environment: dict[str, str], name: str) -> None:
    with pytest.raises(CredentialsUnavailable, match="not the name of a credential helper"):
        await CredentialHelper(name, environment).get(REGISTRY)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"auths": {"registry.example:5000": {"auth": "%"}}}']
)
async def test_a_damaged_file_is_named(
    environment: dict[str, str], config: Path, content: str
) -> None:
    config.write_text(content)

    with pytest.raises(CredentialsUnavailable, match=r"config\.json"):
        await LoginFiles(environment).find(REGISTRY)


async def test_a_file_that_cannot_be_written_leaves_the_old_one(
    environment: dict[str, str], config: Path
) -> None:
    write(config, {"auths": {}})
    before = config.read_bytes()
    (config.parent / "blocker").touch()
    logins = LoginFiles({**environment, "DOCKER_CONFIG": str(config.parent / "blocker")})

    with pytest.raises(CredentialsUnavailable, match="blocker"):
        await logins.store(REGISTRY, ALICE)

    assert config.read_bytes() == before
