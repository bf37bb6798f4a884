"""The `longshore` command: one table of commands, each loaded only when it is called.

Starting the server must not pay for the client's libraries, nor a client command for the
server's. So the table below holds names, and a command's module is imported when its name was
typed; `longshore --help` is written from the table alone.

To add a command: write a module with a plain, typed function (its parameters become options by
Typer's rules, its docstring becomes the help) or a `typer.Typer` application for a group of
sub-commands, and add a row. A failure a person should read is any exception that
`longshore.cli.failure.describe` knows: it is shown as one line and the exit code is 1.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer
import typer.core

import longshore
from longshore.cli.failure import describe

#: name -> (where it is, what it does in one line), in the order in which help shows them.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "serve": ("longshore.cli.serve:command", "Start the registry."),
    "worker": ("longshore.cli.worker:command", "Work in the background, without serving."),
    "cert": ("longshore.cli.cert:command", "Make a certificate for it, signed by a private CA."),
    "config": ("longshore.cli.config:app", "Check and explain a configuration."),
    "htpasswd": ("longshore.cli.htpasswd:command", "Make and change password files."),
    "user": ("longshore.cli.user:app", "See and change who may log in."),
    "group": ("longshore.cli.group:app", "See groups; make teams and say who is in them."),
    "ldap": ("longshore.cli.ldap:app", "Try LDAP servers, and link users to them."),
    "project": ("longshore.cli.project:app", "See and change projects and their members."),
    "role": ("longshore.cli.role:app", "See and change what members may be."),
    "robot": ("longshore.cli.robot:app", "See and change the logins of programs."),
    "token": ("longshore.cli.token:app", "See and change the access tokens of users."),
    "rule": ("longshore.cli.rule:app", "See and change rules about some repositories."),
    "token-keys": ("longshore.cli.token_keys:app", "See and replace the keys that sign tokens."),
    "quota": ("longshore.cli.quota:app", "See and change how much projects may hold."),
    "encryption": ("longshore.cli.encryption:app", "Change the key of the secrets it keeps."),
    "garbage-collect": (
        "longshore.cli.garbage_collect:command",
        "Give back the bytes that nothing refers to.",
    ),
    "gc": ("longshore.cli.gc:command", "Collect unused bytes while the registry runs."),
    "du": ("longshore.cli.du:command", "Show what tags, repositories and projects weigh."),
    "audit": ("longshore.cli.audit:app", "See, verify and export the audit log."),
    "scrub": ("longshore.cli.scrub:command", "Read stored bytes again and verify them."),
    "why": ("longshore.cli.why:app", "Explain what the registry does, for one case."),
    "adopt": ("longshore.cli.adopt:command", "Take over another registry's data, in place."),
    "export-links": (
        "longshore.cli.export_links:command",
        "Write back what another registry needs to serve the same storage.",
    ),
    "reindex": (
        "longshore.cli.reindex:command",
        "Make the metadata anew from storage alone.",
    ),
    "backup": ("longshore.cli.backup:command", "Write all metadata to one file."),
    "restore": ("longshore.cli.restore:command", "Make a backup the registry's metadata."),
    "jobs": ("longshore.cli.jobs:app", "See and steer what runs in the background."),
    "storage": ("longshore.cli.storage:app", "See where bytes lie, and move them."),
    "login": ("longshore.cli.login:command", "Log in to a registry and remember it."),
    "logout": ("longshore.cli.logout:command", "Forget the login of a registry."),
    "push": ("longshore.cli.push:command", "Send a local image to a registry."),
    "pull": ("longshore.cli.pull:command", "Fetch an image into a directory or an archive."),
    "copy": (
        "longshore.cli.copy:command",
        "Copy an image between registries, or to and from files.",
    ),
    "tag": ("longshore.cli.tag:command", "Give an image in a registry one more tag."),
    "ls": ("longshore.cli.ls:command", "List repositories, or the tags of one."),
    "inspect": ("longshore.cli.inspect:command", "Show what an image is made of."),
    "digest": ("longshore.cli.digest:command", "Print the digest a reference stands for."),
    "rm": ("longshore.cli.rm:command", "Remove a tag or an image from a registry."),
}


class LazyGroup(typer.core.TyperGroup):
    """A group whose commands come from COMMANDS and are imported when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every name, without importing anything."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, imported now; None when there is no such command."""
        return load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands for `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As the base class does; the names it suggests for a misspelt one are ours."""
        self.commands = dict.fromkeys(COMMANDS, typer.core.TyperCommand(None))
        return super().resolve_command(ctx, args)


def load(name: str) -> Any:
    """Import one command of the table and make it callable from a command line."""
    place, line = COMMANDS[name]
    module, _, attribute = place.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
    else:
        app = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
        )
        app.command(name)(found)
        command = typer.main.get_command(app)
    command.name = name
    command.short_help = line
    return command


def application() -> Any:
    """The whole command line, as a Typer group."""
    app = typer.Typer(
        cls=LazyGroup,
        name="longshore",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    return typer.main.get_command(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"longshore {longshore.__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", "-v", callback=_show_version, is_eager=True, help="Show it."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error was raised, for bug reports.")
    ] = False,
) -> None:
    """A container registry, and a client for any registry."""
    context.obj = {"debug": debug}


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        application()(args=words, prog_name="longshore")
    except Exception as error:
        # The last door: nobody should meet a traceback.
        if "--debug" in words[:1]:
            raise
        print(f"longshore: {describe(error)}", file=sys.stderr)
        sys.exit(1)
