"""`longshore user`: who may log in where auth.longshore is configured."""

import getpass
import sys
from dataclasses import asdict
from functools import partial
from typing import Annotated, Final

import typer

from longshore.access import passwords
from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import Config
from longshore.cli.output import note, show, table
from longshore.cli.people import people
from longshore.identity import store, validation
from longshore.telemetry import clock

app = typer.Typer(
    name="user",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Add, list, disable and remove the users of a registry.",
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
_COLUMNS: Final = ("NAME", "RIGHTS", "LOGIN", "REAL NAME", "EMAIL")


@app.command()
def add(
    name: _Name,
    email: Annotated[str, typer.Option(help="An address; nothing is sent there.")] = "",
    real_name: Annotated[str, typer.Option(help="The name that people know.")] = "",
    admin: Annotated[bool, typer.Option("--admin", help="May do everything, everywhere.")] = False,
    config: Config = None,
) -> None:
    """Add a user. The password is asked for, or is the first line of standard input."""
    checked = validation.user_name(name)
    hashed = _new_hash()
    work = partial(
        store.add_user,
        name=checked,
        password_hash=hashed,
        now=clock.timestamp(),
        email=email,
        real_name=real_name,
        is_admin=admin,
    )
    with people(config) as metadata:
        given = "an administrator" if admin else ""
        metadata.change(work, "create", "user", checked, description=given)
    note(f"user {name} was added")


@app.command(name="list")
def list_command(config: Config = None, as_json: options.Json = False) -> None:
    """List the users."""
    with people(config) as metadata:
        found = metadata.read(store.list_users)
    rows = [
        (
            user.name,
            "administrator" if user.is_admin else "by project",
            "disabled" if user.disabled else "enabled",
            user.real_name,
            user.email,
        )
        for user in found
    ]
    show([asdict(user) for user in found], table(_COLUMNS, rows), as_json=as_json)


@app.command()
def passwd(name: _Name, config: Config = None) -> None:
    """Give a user a new password; logins and tokens made with the old one end at once."""
    with people(config) as metadata:
        known = {user.name for user in metadata.read(store.list_users)}
        if name not in known:
            raise CommandFailed(f"there is no user {name!r}: see `longshore user list`")
        hashed = _new_hash()
        work = partial(store.set_password, name=name, password_hash=hashed)
        metadata.change(work, "update", "user", name, description="a new password")
    note(f"user {name} has a new password")


@app.command()
def disable(name: _Name, config: Config = None) -> None:
    """Let a user in no longer, at once and until `enable`; roles stay."""
    with people(config) as metadata:
        work = partial(store.set_disabled, name=name, disabled=True)
        metadata.change(work, "update", "user", name, description="disabled")
    note(f"user {name} is disabled")


@app.command()
def enable(name: _Name, config: Config = None) -> None:
    """Let a disabled user in again."""
    with people(config) as metadata:
        work = partial(store.set_disabled, name=name, disabled=False)
        metadata.change(work, "update", "user", name, description="enabled")
    note(f"user {name} is enabled")


@app.command()
def rm(name: _Name, config: Config = None) -> None:
    """Remove a user with all their roles; projects and images stay."""
    with people(config) as metadata:
        metadata.change(partial(store.remove_user, name=name), "delete", "user", name)
    note(f"user {name} was removed")


@app.command(name="second-factor")
def second_factor(
    name: _Name,
    reset: Annotated[
        bool,
        typer.Option(
            "--reset", help="Remove it: a password is enough again. Their sessions and logins end."
        ),
    ] = False,
    config: Config = None,
    as_json: options.Json = False,
) -> None:
    """Say whether a user needs a code beside the password; --reset for who has lost the device."""
    with people(config) as metadata:
        id = metadata.read(partial(store.user_id, name=name))
        if reset:
            metadata.change(
                partial(store.remove_second_factor, user_id=id),
                "update",
                "user",
                name,
                description="has no second factor any more",
            )
            note(f"user {name} has no second factor any more")
            return
        found = metadata.read(partial(store.find_second_factor, user_id=id))
        left = metadata.read(partial(store.count_recovery_codes, user_id=id))
    enrolled = found is not None and found.confirmed_at is not None
    text = f"a second factor, and {left} recovery codes" if enrolled else "no second factor"
    document = {"name": name, "second_factor": enrolled, "recovery_codes": left}
    show(document, f"user {name} has {text}", as_json=as_json)


def _new_hash() -> str:
    """The hash of a password that is typed twice, or comes from standard input."""
    if sys.stdin.isatty():
        text = getpass.getpass("New password: ")
        checked = validation.password(text)
        if getpass.getpass("Re-type new password: ") != text:
            raise CommandFailed("the two passwords differ; nothing was changed")
    else:
        checked = validation.password(sys.stdin.readline().rstrip("\r\n"))
    return passwords.hash_argon2(checked)
