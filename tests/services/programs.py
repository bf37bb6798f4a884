"""Programs that tests run: where they are found, and what happens when one is not there.

A missing program skips the test and says what would install it. In CI (`CI` set) it fails
instead: a gate that silently tests less is not a gate.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

PROJECT = Path(__file__).resolve().parents[2]
GO_TOOLS = PROJECT / ".tools" / "bin"
NODE_TOOLS = PROJECT / ".tools" / "node" / "node_modules" / ".bin"
_SYSTEM = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def search_path() -> str:
    """The PATH on which tests look for programs: the project's own tools first."""
    return os.pathsep.join([str(GO_TOOLS), str(NODE_TOOLS), os.environ.get("PATH", ""), *_SYSTEM])


def missing(what: str) -> NoReturn:
    """End the test because it cannot run here: a skip, or in CI a failure."""
    if os.environ.get("CI"):
        pytest.fail(
            f"{what} (a failure because CI is set; elsewhere this is a skip)", pytrace=False
        )
    pytest.skip(what)


def program(name: str) -> str:
    """The full path of a program, or the end of the test with what would install it."""
    found = shutil.which(name, path=search_path())
    if found is None:
        installer = _INSTALLERS.get(name, "install-debian-packages")
        missing(f"{name} is not installed: run scripts/{installer}")
    return found


_INSTALLERS = {
    **dict.fromkeys(
        ("crane", "regctl", "oras", "conformance", "fake-gcs-server"), "install-go-tools"
    ),
    **dict.fromkeys(("azurite-blob", "node"), "install-node-tools"),
}


def root_only(why: str) -> None:
    """End the test unless it runs as root."""
    if os.geteuid() != 0:
        missing(f"this test needs root: {why}")


@dataclass(frozen=True)
class Output:
    """What a finished program said."""

    command: str
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        """Everything a person needs to see why it went wrong."""
        return f"$ {self.command}\nexit code {self.code}\n{self.out}{self.err}"


@dataclass(frozen=True)
class Shell:
    """Runs programs with a home directory of their own, so that nobody's settings leak in.

    Each part of a command is passed as it is; paths may be `Path` objects.
    """

    home: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The whole environment a program gets: little is inherited."""
        return {
            "HOME": str(self.home),
            "PATH": search_path(),
            "TMPDIR": str(self.home),
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "DOCKER_CONFIG": str(self.home / ".docker"),
            "REGISTRY_AUTH_FILE": str(self.home / "auth.json"),
            **self.env,
        }

    def with_env(self, **more: str) -> "Shell":
        """The same shell with more environment variables."""
        return Shell(self.home, {**self.env, **more})

    def __call__(
        self, name: str, *args: str | Path, stdin: str | bytes = "", timeout: float = 90
    ) -> Output:
        """Run a program that must succeed."""
        result = self.attempt(name, *args, stdin=stdin, timeout=timeout)
        assert result.code == 0, str(result)
        return result

    def refused(
        self, name: str, *args: str | Path, stdin: str | bytes = "", timeout: float = 90
    ) -> Output:
        """Run a program that must fail."""
        result = self.attempt(name, *args, stdin=stdin, timeout=timeout)
        assert result.code != 0, f"this should have failed:\n{result}"
        return result

    def attempt(
        self, name: str, *args: str | Path, stdin: str | bytes = "", timeout: float = 90
    ) -> Output:
        """Run a program to its end, whatever that is."""
        argv = [program(name), *map(str, args)]
        (self.home / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
        done = subprocess.run(
            argv,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=self.environment(),
            cwd=self.home,
            timeout=timeout,
            check=False,
        )
        command = " ".join([name, *map(str, args)])
        out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        return Output(command, done.returncode, out, err)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell with an empty home directory."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "auth.json").write_text("{}")  # podman wants the file that the variable names
    return Shell(home)
