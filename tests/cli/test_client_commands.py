"""The client's commands as people and programs use them, against two real registries."""

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from longshore.cli.main import COMMANDS, main
from tests.client.conftest import Peers
from tests.services.images import multi_platform_image, single_image
from tests.services.registries import ALICE, Registry

pytestmark = pytest.mark.service

CLIENT = ("login", "logout", "push", "pull", "copy", "tag", "ls", "inspect", "digest", "rm")


@dataclass(frozen=True)
class Done:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Longshore:
    """Runs commands in this process, with a home directory of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str | Path, code: int = 0) -> Done:
        """Run a command that ends with this exit code."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        said = self._capsys.readouterr()
        done = Done(int(ended.value.code or 0), said.out, said.err)
        assert done.code == code, done
        assert "Traceback" not in done.err
        return done


@pytest.fixture
def longshore(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Longshore:
    """The command line, with nobody's settings."""
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Longshore(capsys)


def trust(registry: Registry) -> list[str]:
    """The options that a registry's certificate takes."""
    return ["--ca", str(registry.authority.certificate)] if registry.authority else []


def log_in(longshore: Longshore, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log in if the registry wants it."""
    if registry.login:
        give(monkeypatch, registry.login.password + "\n")
        words = ("login", "-u", registry.login.user, "--password-stdin", registry.host)
        longshore(*words, *trust(registry))


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What the next command reads from standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_life_of_an_image(
    longshore: Longshore,
    peer: Registry,
    repository: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digest, images = multi_platform_image(tmp_path / "image")
    name, options = f"{peer.host}/{repository}", trust(peer)
    log_in(longshore, peer, monkeypatch)

    pushed = longshore("push", tmp_path / "image", f"{name}:v1", "--json", *options).json
    assert (pushed["digest"], pushed["blobs"]["copied"]) == (digest, 4)
    longshore("tag", f"{name}:v1", "v2", "v3", *options)
    assert set(longshore("ls", name, *options).out.split()) == {"v1", "v2", "v3"}
    assert repository in longshore("ls", peer.host, "--json", *options).json["repositories"]
    assert longshore("digest", f"{name}:v2", *options).out.strip() == digest
    one = longshore("digest", f"{name}:v2", "--platform=linux/arm64", *options).out.strip()
    assert one == images["arm64"]
    copied = longshore("copy", f"{name}:v1", f"{name}-copy:v1", "--json", *options).json
    assert (copied["digest"], copied["blobs"]["mounted"]) == (digest, 4)
    pulled = longshore("pull", f"{name}:v1", tmp_path / "back", "--all-platforms", *options)
    assert digest in pulled.out
    removed = longshore("rm", f"{name}@{digest}", *options)
    assert "and its tags v1, v2, v3" in removed.out
    assert "MANIFEST_UNKNOWN" in longshore("digest", f"{name}:v1", *options, code=1).err


def test_an_image_is_inspected(
    longshore: Longshore, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    digest, images = multi_platform_image(tmp_path / "image")
    name = f"{open_peer.host}/{repository}:v1"
    longshore("push", tmp_path / "image", name)

    shown = longshore("inspect", name).out
    child = longshore("inspect", name, "--platform=linux/arm64", "--json").json
    config = longshore("inspect", name, "--config", "--platform=linux/arm64").json
    raw = longshore("inspect", name, "--raw").out
    local = longshore("inspect", f"oci:{tmp_path / 'image'}", "--json").json

    assert digest in shown
    assert all(f"linux/{architecture}" in shown for architecture in images)
    assert (child["digest"], child["platform"]) == (images["arm64"], "linux/arm64")
    assert config["architecture"] == "arm64"
    assert raw.encode() == (tmp_path / "image/blobs" / digest.replace(":", "/")).read_bytes()
    assert local["digest"] == digest


def test_a_pull_takes_this_machines_platform_into_a_directory_named_after_the_image(
    longshore: Longshore, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    multi_platform_image(tmp_path / "image")
    name = f"{open_peer.host}/{repository}/my-app"
    longshore("push", tmp_path / "image", f"{name}:v1")

    pulled = longshore("pull", f"{name}:v1", "--platform", "linux/arm64", "--json").json
    index = json.loads((tmp_path / "my-app" / "index.json").read_bytes())

    assert index["manifests"][0]["digest"] == pulled["digest"]
    assert index["manifests"][0]["platform"]["architecture"] == "arm64"


def test_an_archive_is_pulled_and_pushed_again(
    longshore: Longshore, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    digest = single_image(tmp_path / "image")
    name = f"{open_peer.host}/{repository}"
    longshore("push", tmp_path / "image", f"{name}:v1")

    longshore("pull", f"{name}:v1", tmp_path / "image.tar")
    pushed = longshore("push", tmp_path / "image.tar", f"{name}-again", "--json").json

    assert (pushed["digest"], pushed["name"]) == (digest, "latest")


def test_a_tag_is_removed_or_the_command_says_what_would_do_it(
    longshore: Longshore, open_peer: Registry, repository: str, tmp_path: Path
) -> None:
    digest = single_image(tmp_path / "image")
    name = f"{open_peer.host}/{repository}"
    longshore("push", tmp_path / "image", f"{name}:v1")
    longshore("tag", f"{name}:v1", "v2")

    if "docker-registry" in str(open_peer.service.process.args):
        refused = longshore("rm", f"{name}:v1", code=1)
        assert f"longshore rm {name}@{digest}" in refused.err
    else:
        assert digest in longshore("rm", f"{name}:v1").out
        assert longshore("ls", name).out.split() == ["v2"]


def test_a_login_is_remembered_until_the_logout(
    longshore: Longshore,
    peers: Peers,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    registry = peers("secure")
    options = trust(registry)

    give(monkeypatch, ALICE.password)
    words = ("login", "--username", ALICE.user, "--password-stdin", registry.host)
    done = longshore(*words, *options)
    again = longshore("login", registry.host, *options)
    longshore("ls", registry.host, *options)
    gone = longshore("logout", registry.host)
    refused = longshore("ls", registry.host, *options, code=1)

    assert "Login Succeeded" in done.out
    assert "stored unencrypted in" in done.err
    assert "existing credentials" in again.err
    assert "Removed" in gone.out
    assert f"longshore login {registry.host}" in refused.err
    assert "Not logged in" in longshore("logout", registry.host).out


def test_a_wrong_password_is_not_stored(
    longshore: Longshore,
    peers: Peers,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    registry = peers("login")

    done = longshore("login", "-u", ALICE.user, "-p", "guess", registry.host, code=1)

    assert "Using --password via the CLI is insecure" in done.err
    assert not (tmp_path / ".docker").exists()


def test_an_unknown_authority_is_explained(
    longshore: Longshore,
    peers: Peers,
) -> None:
    registry = peers("secure")

    assert "--ca FILE" in longshore("ls", registry.host, code=1).err
    assert "longshore login" in longshore("ls", registry.host, "--insecure", code=1).err


def test_one_end_of_a_copy_may_be_trusted_less_than_the_other(
    longshore: Longshore,
    peers: Peers,
    repository: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    secure, other = peers("secure"), peers("open")
    single_image(tmp_path / "image")
    log_in(longshore, secure, monkeypatch)
    source, target = f"{other.host}/{repository}:v1", f"{secure.host}/{repository}:v1"
    longshore("push", tmp_path / "image", source)

    refused = longshore("copy", source, target, "--source-insecure", code=1)
    longshore("copy", source, target, "--source-plain-http", "--target-insecure")

    assert "--ca FILE" in refused.err
    assert longshore("digest", target, *trust(secure)).out.startswith("sha256:")


def test_on_a_terminal_bars_show_the_progress(
    peers: Peers, repository: str, tmp_path: Path
) -> None:
    registry = peers("open")
    single_image(tmp_path / "image", {"noise": os.urandom(20_000_000)})
    words = ("push", str(tmp_path / "image"), f"{registry.host}/{repository}:v1")
    program = Path(sys.executable).with_name("longshore")
    ours, theirs = pty.openpty()

    running = subprocess.Popen(
        [program, *words], stdout=subprocess.PIPE, stderr=theirs, env={"TERM": "xterm", "HOME": "/"}
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while piece := os.read(ours, 4096):
            drawn += piece
    os.close(ours)
    out, _ = running.communicate(timeout=60)

    assert running.returncode == 0
    assert out.startswith(b"pushed ")
    assert b"MiB" in drawn


MISUSE: Sequence[tuple[tuple[str, ...], str]] = [
    (("push", "oci:x"), "Missing argument"),
    (("push", "oci:x", "host.example/UPPER"), "must be lower case"),
    (("push", "oci:x", "oci:y"), "is local"),
    (("push", "oci:x", "host.example/a@sha256:" + "0" * 64), "push to a tag"),
    (("pull", "host.example/a", "--platform", "linux"), "not a platform"),
    (("pull", "host.example/a", "--platform=linux/arm64", "--all-platforms"), "contradict"),
    (("pull", "host.example/a", "docker://host.example/b"), "longshore copy"),
    (("tag", "host.example/a:1", "not a tag"), "not a tag"),
    (("rm", "host.example/a"), "say what to remove"),
    (("ls", "host.example/a:tag"), "without a tag"),
    (("inspect", "host.example/a", "--raw", "--config"), "contradict"),
    (("login", "--password-stdin", "host.example"), "needs --username"),
    (("login", "host name"), "not a registry"),
    (("copy", "oci:x", "host.example/a", "--ca=x", "--insecure"), "contradict"),
    (("nonsense",), "No such command"),
]


@pytest.mark.parametrize(("words", "complaint"), MISUSE, ids=lambda value: str(value)[:40])
def test_a_misunderstanding_has_code_2(
    longshore: Longshore, words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in " ".join(longshore(*words, code=2).err.split())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("push", "nowhere", "localhost:1/a"), "nowhere is not an image layout"),
        (("push", "oci-archive:nowhere.tar", "localhost:1/a"), "nowhere.tar: no such file"),
        (("ls", "localhost:1"), "localhost:1 cannot be reached"),
        (("ls", "localhost:1", "--ca", "nowhere.crt"), "nowhere.crt: no such file"),
    ],
    ids=["layout", "archive", "registry", "authority"],
)
def test_a_failure_is_one_line_and_code_1(
    longshore: Longshore, words: tuple[str, ...], complaint: str
) -> None:
    done = longshore(*words, code=1)

    assert done.err.startswith("longshore: ")
    assert complaint in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


@pytest.mark.parametrize("command", CLIENT)
def test_every_command_explains_itself_and_speaks_json(longshore: Longshore, command: str) -> None:
    shown = longshore(command, "--help").out

    assert "--json" in shown
    assert command in COMMANDS


def test_every_command_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text()

    missing = [command for command in CLIENT if f"## longshore {command}" not in page]
    assert missing == []


def test_help_imports_no_command() -> None:
    script = (
        "import sys\n"
        "from longshore.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'httpx', 'rich', 'sqlalchemy', 'granian', 'uvicorn', 'starlette'}"
        " & set(sys.modules)), file=sys.stderr)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stderr.strip() == "[]"
    assert all(command in done.stdout for command in COMMANDS)
