"""`longshore htpasswd`: makes and changes password files, with the flags of Apache's program.

`longshore htpasswd -Bbn USER PASSWORD` works verbatim. Options end at the first word that is none,
as in Apache's program, so a password may begin with a dash; hence getopt and no Typer options.
Only bcrypt is written: it is what registries accept.
"""

import contextlib
import errno
import getopt
import getpass
import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from longshore.access import passwords
from longshore.access.errors import AccessError
from longshore.access.htpasswd import entries

USAGE: Final = """\
usage: longshore htpasswd [-B] [-C COST] [-c] [-i] FILE USER
       longshore htpasswd -b [-B] [-C COST] [-c] FILE USER PASSWORD
       longshore htpasswd -n [-B] [-C COST] [-i] USER
       longshore htpasswd -nb [-B] [-C COST] USER PASSWORD
       longshore htpasswd -v [-i] FILE USER
       longshore htpasswd -vb FILE USER PASSWORD
       longshore htpasswd -D FILE USER

Adds USER to the password FILE of auth.htpasswd, or gives the user a new password.

  -B       hash with bcrypt; the default, and the only one registries accept
  -C COST  how slow the hash is, 4 to 17; each step doubles the time (default: 10)
  -c       make FILE new; one that exists is emptied
  -b       take PASSWORD from the command line, where others on this machine can see it
  -i       read the password from standard input
  -n       print the line instead of writing a file
  -v       check the password
  -D       delete the user
"""

# Apache's exit codes.
OK, FILE, SYNTAX, WRONG, INTERRUPTED, TOO_LONG, BAD_USER, BAD_FILE = range(8)

_FLAGS: Final = "BbcC:iDnvhm25dsprt"
_OTHER_HASHES: Final = {
    "m": "MD5",
    "2": "SHA-256 crypt",
    "5": "SHA-512 crypt",
    "d": "DES crypt",
    "s": "SHA-1",
    "p": "plain text",
    "r": "rounds of SHA crypt",
}
_MAX_USER: Final = 255


class _Failed(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Order:
    """What the command line asks for. ``file`` is None with -n, ``password`` unless -b."""

    flags: frozenset[str]
    cost: int
    file: Path | None
    user: str
    password: str | None


command = typer.Typer(add_completion=False, rich_markup_mode=None)


@command.command(
    "htpasswd",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def _command(
    arguments: Annotated[list[str] | None, typer.Argument()] = None,
) -> None:
    """Make and change password files; see `longshore htpasswd -h`."""
    raise typer.Exit(main(arguments or []))


def main(arguments: Sequence[str]) -> int:
    """Run the command with Apache's arguments. Returns Apache's exit code."""
    try:
        order = _parse(arguments)
        if order is None:
            print(USAGE, end="")
            return OK
        return _run(order)
    except _Failed as error:
        _say(f"longshore htpasswd: {error}")
        return error.code
    except AccessError as error:
        _say(f"longshore htpasswd: {error}")
        return BAD_FILE
    except OSError as error:
        _say(f"longshore htpasswd: {error.filename}: {error.strerror}")
        return FILE
    except KeyboardInterrupt:
        _say("longshore htpasswd: interrupted; nothing was changed")
        return INTERRUPTED


def _parse(arguments: Sequence[str]) -> _Order | None:
    """None when help is wanted."""
    try:
        options, words = getopt.getopt(list(arguments), _FLAGS, ["help"])
    except getopt.GetoptError as error:
        raise _Failed(SYNTAX, f"{error}\n{USAGE.rstrip()}") from error
    flags = frozenset(name.lstrip("-") for name, _ in options)
    if flags & {"h", "help"}:
        return None
    for flag, name in _OTHER_HASHES.items():
        if flag in flags:
            raise _Failed(
                SYNTAX, f"-{flag} asks for {name}, which registries do not accept; use -B (bcrypt)"
            )
    _check_combination(flags)
    names = [
        *([] if "n" in flags else ["FILE"]),
        "USER",
        *(["PASSWORD"] if "b" in flags else []),
    ]
    if len(words) != len(names):
        raise _Failed(
            SYNTAX,
            f"expected {' '.join(names)}, but got {len(words)} argument(s)\n{USAGE.rstrip()}",
        )
    given = dict(zip(names, words, strict=True))
    return _Order(
        flags,
        _cost(dict(options).get("-C")),
        Path(given["FILE"]) if "FILE" in given else None,
        _checked_user(given["USER"]),
        given.get("PASSWORD"),
    )


def _check_combination(flags: frozenset[str]) -> None:
    for pair in ("cn", "cD", "cv", "nD", "nv", "vD", "bi", "bD"):
        if set(pair) <= flags:
            raise _Failed(
                SYNTAX, f"-{pair[0]} and -{pair[1]} cannot be used together\n{USAGE.rstrip()}"
            )


def _cost(text: str | None) -> int:
    if text is None:
        return passwords.DEFAULT_COST
    if not (text.isascii() and text.isdigit() and 4 <= int(text) <= 17):
        raise _Failed(SYNTAX, f"-C {text}: the cost is a number from 4 to 17")
    return int(text)


def _checked_user(user: str) -> str:
    if len(user.encode()) > _MAX_USER:
        raise _Failed(TOO_LONG, f"the user name has more than {_MAX_USER} bytes")
    if not user or ":" in user or user.startswith("#") or user != user.strip():
        raise _Failed(
            BAD_USER,
            f"{user!r} is no user name: it is not empty, holds no ':', does not begin with '#', "
            "and neither begins nor ends with a space",
        )
    if not user.isprintable():
        raise _Failed(BAD_USER, f"{user!r} is no user name: it holds control characters")
    return user


def _run(order: _Order) -> int:
    if order.file is None:
        print(_line(order))
        return OK
    if "v" in order.flags:
        return _verify(order, order.file)
    if "D" in order.flags:
        return _delete(order, order.file)
    if "c" not in order.flags and not order.file.exists():
        raise _Failed(FILE, f"{order.file} does not exist; add -c to make it")
    old = [] if "c" in order.flags else _lines(order.file)
    kept = [line for line in old if _name(line) != order.user]
    _write(order.file, [*kept, _line(order)])
    done = "Adding" if len(kept) == len(old) else "Updating"
    _say(f"{done} password for user {order.user}")
    return OK


def _verify(order: _Order, file: Path) -> int:
    found = entries(file.read_bytes(), file).get(order.user)
    if found is None:
        raise _Failed(BAD_USER, f"user {order.user!r} is not in {file}")
    hashed, number = found
    complaint = passwords.complaint(hashed)
    if complaint is not None:
        raise _Failed(
            BAD_FILE,
            f"{file} line {number}: the hash is {complaint}, which this registry does not accept",
        )
    if not passwords.verify(hashed, _password(order, twice=False)):
        raise _Failed(WRONG, f"wrong password for user {order.user!r}")
    _say(f"Password for user {order.user} correct.")
    return OK


def _delete(order: _Order, file: Path) -> int:
    old = _lines(file)
    kept = [line for line in old if _name(line) != order.user]
    if len(kept) == len(old):
        raise _Failed(BAD_USER, f"user {order.user!r} is not in {file}")
    _write(file, kept)
    _say(f"Deleting password for user {order.user}")
    return OK


def _line(order: _Order) -> str:
    password = _password(order, twice=True)
    try:
        return f"{order.user}:{passwords.hash_password(password, order.cost)}"
    except ValueError as error:
        raise _Failed(TOO_LONG, str(error)) from error


def _password(order: _Order, *, twice: bool) -> bytes:
    if order.password is not None:
        return order.password.encode("utf-8", "surrogateescape")
    if "i" in order.flags:
        return sys.stdin.buffer.readline().rstrip(b"\r\n")
    password = getpass.getpass("New password: " if twice else "Enter password: ")
    if twice and getpass.getpass("Re-type new password: ") != password:
        raise _Failed(WRONG, "the two passwords differ; nothing was changed")
    return password.encode()


def _lines(file: Path) -> list[str]:
    """The file's lines. Raises AccessError when it is no password file, so that a mistyped path
    does no harm."""
    data = file.read_bytes()
    entries(data, file)
    return data.decode("utf-8-sig").splitlines()


def _name(line: str) -> str:
    entry = line.strip()
    return "" if entry.startswith("#") else entry.partition(":")[0]


def _write(file: Path, lines: Sequence[str]) -> None:
    """Replace the file in one step, so that a running registry never reads half of it."""
    data = "".join(f"{line}\n" for line in lines).encode()
    try:
        _replace(file, data)
    except OSError as error:
        if error.errno not in _NOT_REPLACEABLE:
            raise
        file.write_bytes(data)


#: What a file says that was mounted into a container by itself: it can only be rewritten.
_NOT_REPLACEABLE: Final = frozenset(
    {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV}
)


def _replace(file: Path, data: bytes) -> None:
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(descriptor, "wb") as output:
            _copy_owner(file, output.fileno())
            output.write(data)
            output.flush()
            os.fsync(output.fileno())
        os.replace(draft, file)
    except BaseException:
        os.unlink(draft)
        raise


def _copy_owner(file: Path, descriptor: int) -> None:
    """The registry may run as somebody else than who edits its passwords."""
    try:
        old = file.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, 0o644)
        return
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _say(message: str) -> None:
    print(message, file=sys.stderr)
