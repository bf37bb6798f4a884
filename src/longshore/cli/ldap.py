"""`longshore ldap`: try the configured directories, and say who of the users is whom in them."""

import asyncio
import getpass
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longshore.app import encryption
from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import Config, registry_database
from longshore.cli.output import note, show, table
from longshore.identity.changes import Changes
from longshore.ldap import install
from longshore.ldap.model import LDAPServer
from longshore.ldap.settings import LDAPSettings
from longshore.oci.errors import RegistryError
from longshore.outbox.model import Origin
from longshore.outbox.recording import Outbox
from longshore.settings import load_configuration
from longshore.system.configuration import SystemConfiguration

if TYPE_CHECKING:
    from longshore.config.load import Configuration
    from longshore.ldap.model import Person
    from longshore.ldap.trial import Trial

app = typer.Typer(
    name="ldap",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Try LDAP servers, and link users to them.",
)

_Server = Annotated[str, typer.Option("--server", "-s", help="Only the server of this name.")]
_COLUMNS: Final = ("MS", "QUERY", "RESULT")


@app.command(name="test")
def try_servers(
    user: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="Whom to look for; default: anybody.")
    ] = None,
    password: Annotated[
        bool,
        typer.Option(
            help="Ask for the user's password, or read it from standard input, and try it."
        ),
    ] = True,
    server: _Server = "",
    config: Config = None,
    as_json: options.Json = False,
) -> None:
    """Ask each LDAP server as a login would, and show every query with its time and result.

    Works beside running servers and without them. The exit code is 1 when a server does not answer, or
    when none lets the user in.
    """
    servers = _servers(load_configuration(config, os.environ), server)  # noqa: TID251
    secret = _password() if user is not None and password else None
    trials = asyncio.run(_try(servers, user, secret))
    show([_document(trial) for trial in trials], "\n\n".join(map(_text, trials)), as_json=as_json)
    problems = [trial.problem for trial in trials if trial.problem]
    if len(problems) == len(trials) or (user is None and problems):
        raise typer.Exit(1)


@app.command()
def link(
    user: Annotated[str, typer.Argument(metavar="USER", help="The user of the registry.")],
    server: Annotated[str, typer.Option("--server", "-s", help="The LDAP server's name.")],
    login: Annotated[
        str, typer.Option(help="Their login name there; default: the same as here.")
    ] = "",
    config: Config = None,
) -> None:
    """Say that a user of the registry is somebody whom an LDAP server knows.

    From then on the password there lets them in, too. What they have here stays: roles, tokens, and the
    password here, if there is one.
    """
    configuration = load_configuration(config, os.environ)  # noqa: TID251
    (asked,) = _servers(configuration, server)
    person = _found(asked, login or user)
    from longshore.ldap.accounts import Accounts

    with registry_database(configuration) as database:
        accounts = Accounts(Changes(database, Outbox()))
        asyncio.run(accounts.link(user, person, Origin(actor=getpass.getuser())))
    note(f"user {user} is {person.dn} of LDAP server {server} from now on")


async def _try(
    servers: Sequence[LDAPServer], user: str | None, secret: str | None
) -> "list[Trial]":
    from longshore.ldap.trial import try_server

    return [await try_server(server, user, secret) for server in servers]


def _found(server: LDAPServer, login: str) -> "Person":
    from longshore.ldap.trial import try_server

    trial = asyncio.run(try_server(server, login))
    if trial.person is None:
        raise CommandFailed(f"LDAP server {server.name}, {login!r}: {trial.problem}")
    return trial.person


def _servers(configuration: "Configuration", name: str) -> list[LDAPServer]:
    settings = configuration[LDAPSettings]
    install.check(settings)
    servers = _configured(configuration, settings)
    known = [server.name for server in servers]
    if not known:
        raise CommandFailed(
            "no LDAP server is configured: see longshore.ldap.servers, or ldap_url of /configurations"
        )
    if name and name not in known:
        raise CommandFailed(f"there is no LDAP server {name!r}; configured: {', '.join(known)}")
    return [server for server in servers if name in ("", server.name)]


def _configured(configuration: "Configuration", settings: LDAPSettings) -> Sequence[LDAPServer]:
    """The servers of config.yml, and that of Harbor's keys where there is a database to look."""
    try:
        with registry_database(configuration) as database:
            system = SystemConfiguration(database, encryption(configuration, database))
            return asyncio.run(_now(settings, system))
    except (CommandFailed, RegistryError) as error:
        note(f"longshore: only the LDAP servers of config.yml are known: {error}")
        return settings.values


async def _now(settings: LDAPSettings, system: SystemConfiguration) -> Sequence[LDAPServer]:
    return await install.ConfiguredServers(settings, partial(system.with_secrets, "ldap_"))()


def _password() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\n")


def _document(trial: "Trial") -> dict[str, Any]:
    document = asdict(trial)
    document["ok"] = not trial.problem
    return document


def _text(trial: "Trial") -> str:
    rows = [(f"{q.milliseconds:.1f}", q.what, q.result) for q in trial.queries]
    lines = [
        f"LDAP server {trial.server}: {trial.problem or 'works'} ({trial.milliseconds:.0f} ms)"
    ]
    lines.append(table(_COLUMNS, rows) if rows else "nothing was asked")
    person = trial.person
    if person is not None:
        groups = ", ".join(group.name for group in person.groups) or "none"
        lines += [
            f"user            {person.uid} ({person.dn})",
            f"stays the same  {person.subject}",
            f"name, e-mail    {person.real_name or 'none'}, {person.mail or 'none'}",
            f"groups          {groups}",
            f"administrator   {_said(person.is_admin)}",
        ]
    return "\n".join(lines)


def _said(is_admin: bool | None) -> str:
    if is_admin is None:
        return "not for LDAP to say: groups.admins is not set"
    return "yes" if is_admin else "no"
