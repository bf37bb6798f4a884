"""`longshore htpasswd` with the flags of Apache's program, and files that both understand."""

import io
import re
import stat
from pathlib import Path

import pytest
import typer

from longshore.access import passwords
from longshore.cli import htpasswd
from longshore.cli.htpasswd import main
from tests.services.programs import Shell

BCRYPT = re.compile(r"(?P<user>[^:]+):(?P<hashed>\$2y\$(?P<cost>\d\d)\$.{53})")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text("# ours\nann:{SHA}x\nbob:" + passwords.hash_password(b"old", 4) + "\n")
    return path


def _hash(file: Path, user: str) -> str:
    lines = [line for line in file.read_text().splitlines() if line.startswith(f"{user}:")]
    (line,) = lines
    return line.partition(":")[2]


@pytest.mark.parametrize(
    ("arguments", "password", "cost"),
    [
        (["-Bbn", "user", "pass"], b"pass", "10"),
        (["-nbB", "user", "pass"], b"pass", "10"),
        (["-n", "-b", "user", "pass"], b"pass", "10"),
        (["-Bbn", "-C", "4", "user", "pass"], b"pass", "04"),
        (["-BbnC5", "user", "pass"], b"pass", "05"),
        (["-bn", "user", "-dash"], b"-dash", "10"),
        (["-bn", "user", "--help"], b"--help", "10"),
        (["-bn", "user", "pass word: ü"], "pass word: ü".encode(), "10"),
        (["-bn", "user", ""], b"", "10"),
    ],
)
def test_a_line_is_printed_as_the_guides_have_it(
    capsys: pytest.CaptureFixture[str], arguments: list[str], password: bytes, cost: str
) -> None:
    assert main(arguments) == 0
    found = BCRYPT.fullmatch(capsys.readouterr().out.rstrip("\n"))
    assert found is not None
    assert found["user"] == "user"
    assert found["cost"] == cost
    assert passwords.verify(found["hashed"], password)


def test_it_works_below_the_longshore_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    command = typer.main.get_command(htpasswd.command)
    with pytest.raises(SystemExit) as ended:
        command(args=["-Bbn", "-C", "4", "user", "-pass"], prog_name="longshore htpasswd")
    assert ended.value.code == 0
    found = BCRYPT.fullmatch(capsys.readouterr().out.rstrip("\n"))
    assert found is not None
    assert passwords.verify(found["hashed"], b"-pass")


def test_users_are_added_changed_checked_and_deleted(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-bC", "4", str(file), "cat", "meow"]) == 0
    assert main(["-bC", "4", str(file), "bob", "new"]) == 0
    assert passwords.verify(_hash(file, "cat"), b"meow")
    assert passwords.verify(_hash(file, "bob"), b"new")
    assert file.read_text().startswith("# ours\nann:{SHA}x\n")
    assert main(["-vb", str(file), "bob", "new"]) == 0
    assert main(["-vb", str(file), "bob", "old"]) == 3
    assert main(["-D", str(file), "bob"]) == 0
    assert "bob" not in file.read_text()
    said = capsys.readouterr()
    assert said.out == ""
    assert "Adding password for user cat" in said.err
    assert "Updating password for user bob" in said.err
    assert "Deleting password for user bob" in said.err


def test_a_file_is_made_only_when_asked_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "users"
    assert main(["-b", str(file), "ann", "x"]) == 1
    assert not file.exists()
    assert main(["-cbC4", str(file), "ann", "x"]) == 0
    file.chmod(0o640)
    assert main(["-bC4", str(file), "bob", "x"]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert main(["-cbC4", str(file), "cat", "x"]) == 0
    assert [line.partition(":")[0] for line in file.read_text().splitlines()] == ["cat"]
    assert [path.name for path in tmp_path.iterdir()] == ["users"]


def test_the_password_comes_from_standard_input(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe\nmore\n")))
    assert main(["-iBC4", str(file), "bob"]) == 0
    assert passwords.verify(_hash(file, "bob"), b"from a pipe")


def test_a_person_types_the_password_twice(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["one", "two", "same", "same", "same"]
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    assert main(["-C4", str(file), "bob"]) == 3
    assert passwords.verify(_hash(file, "bob"), b"old")
    assert main(["-C4", str(file), "bob"]) == 0
    assert main(["-v", str(file), "bob"]) == 0
    assert answers == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "expected FILE USER"),
        (["-n"], 2, "expected USER"),
        (["-nb", "user"], 2, "expected USER PASSWORD"),
        (["-b", "FILE", "user", "pass", "more"], 2, "4 argument(s)"),
        (["-Z"], 2, "option -Z not recognized"),
        (["-C"], 2, "option -C requires argument"),
        (["-nbC", "3", "user", "x"], 2, "from 4 to 17"),
        (["-nbC", "18", "user", "x"], 2, "from 4 to 17"),
        (["-nbC", "ten", "user", "x"], 2, "from 4 to 17"),
        (["-nbm", "user", "x"], 2, "MD5, which registries do not accept; use -B"),
        (["-nbs", "user", "x"], 2, "SHA-1"),
        (["-nbp", "user", "x"], 2, "plain text"),
        (["-cn", "user"], 2, "-c and -n cannot be used together"),
        (["-bi", "FILE", "user"], 2, "-b and -i cannot"),
        (["-nb", "a:b", "x"], 6, "no user name"),
        (["-nb", "", "x"], 6, "no user name"),
        (["-nb", "#a", "x"], 6, "no user name"),
        (["-nb", "a\n", "x"], 6, "no user name"),
        (["-nb", "a\x1bb", "x"], 6, "control characters"),
        (["-nb", "a" * 256, "x"], 5, "more than 255"),
        (["-nb", "user", "x" * 73], 5, "73 bytes"),
        (["-D", "FILE", "nobody"], 6, "'nobody' is not in"),
        (["-vb", "FILE", "nobody", "x"], 6, "'nobody' is not in"),
        (["-vb", "FILE", "ann", "x"], 7, "SHA-1"),
        (["-vb", "MISSING", "ann", "x"], 1, "No such file"),
        (["-b", "BROKEN", "ann", "x"], 7, "line 1: not of the form name:hash"),
    ],
)
def test_a_mistake_has_apaches_exit_code_and_a_sentence(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    broken = file.with_name("broken")
    broken.write_text("a shopping list\n")
    before = file.read_text()
    places = {"FILE": file, "BROKEN": broken, "MISSING": file.with_name("missing")}
    assert main([str(places.get(word, word)) for word in arguments]) == code
    assert words in capsys.readouterr().err
    assert file.read_text() == before
    assert broken.read_text() == "a shopping list\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_shows_every_form(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert main([flag]) == 0
    assert capsys.readouterr().out == htpasswd.USAGE


@pytest.mark.service
def test_apaches_program_and_ours_understand_each_other(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "users"
    shell("htpasswd", "-cbB", file, "theirs", "secret")
    assert main(["-vb", str(file), "theirs", "secret"]) == 0
    assert main(["-bBC4", str(file), "ours", "secret"]) == 0
    shell("htpasswd", "-vb", file, "ours", "secret")
    shell("htpasswd", "-vb", file, "theirs", "secret")
    shell.refused("htpasswd", "-vb", file, "ours", "wrong")
