"""`registry`: distribution's command, with its sub-commands and flags, for scripts and images.

registry serve [CONFIG]
registry garbage-collect [-d] [-m] [-q] CONFIG
registry --version
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import longshore
from longshore.cli.failure import describe

_app = typer.Typer(
    name="registry",
    help="A container registry, under the name and with the flags of distribution's.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"registry longshore v{longshore.__version__}")
        raise typer.Exit


@_app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", "-v", callback=_show_version, is_eager=True, help="Show it."),
    ] = False,
) -> None:
    pass


@_app.command("serve")
def _serve(
    config: Annotated[Path | None, typer.Argument(show_default=False)] = None,
) -> None:
    """Serve the registry; the configuration may be named by REGISTRY_CONFIGURATION_PATH too."""
    from longshore.cli.serve import run

    run(config)


@_app.command("garbage-collect")
def _garbage_collect(
    config: Annotated[Path | None, typer.Argument(show_default=False)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-d", help="Say what would be removed, remove nothing.")
    ] = False,
    delete_untagged: Annotated[
        bool, typer.Option("--delete-untagged", "-m", help="Remove manifests without a tag too.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")] = False,
) -> None:
    """Remove blobs that nothing refers to."""
    from longshore.cli.garbage_collect import command

    command(config, dry_run=dry_run, delete_untagged=delete_untagged, quiet=quiet)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exit codes: 0 done, 1 failed, 2 not understood."""
    try:
        _app(args=sys.argv[1:] if arguments is None else list(arguments), prog_name="registry")
    except Exception as error:  # noqa: BLE001
        # The last door: nobody should meet a traceback.
        print(f"registry: {describe(error)}", file=sys.stderr)
        sys.exit(1)
