"""`longshore config`: what a configuration means, before anything is started with it."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from longshore.config.explain import explain
from longshore.config.load import Configuration
from longshore.config.problems import ConfigurationInvalid, Problem
from longshore.config.schema import json_schema
from longshore.settings import SECTIONS, load_configuration

app = typer.Typer(
    name="config",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Check a config.yml, explain what it means, or print its JSON Schema.",
)

_Dev = Annotated[bool, typer.Option("--dev", help="As `serve --dev`: allow auth.silly.")]


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The config.yml.")], dev: _Dev = False) -> None:
    """Report every problem and every warning; the exit code is 1 if there is a problem.

    Environment variables count, as they would for `serve`.
    """
    configuration = _load(file, dev)
    warnings = len(configuration.warnings)
    also = f", with {warnings} warning{'s' if warnings > 1 else ''}" if warnings else ""
    typer.echo(f"{file} is valid{also}")


@app.command(name="explain")
def explain_command(
    file: Annotated[
        Path | None, typer.Argument(help="The config.yml; without it, what is built in.")
    ] = None,
    only_set: Annotated[
        bool, typer.Option("--set", help="Leave out what has its default.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
    dev: _Dev = False,
) -> None:
    """Print every effective value and where it comes from. Secrets are hidden."""
    values = [
        value
        for value in explain(_load(file, dev))
        if not only_set or str(value.origin) != "default"
    ]
    if as_json:
        rows = [{"key": v.key, "value": v.text, "origin": str(v.origin)} for v in values]
        typer.echo(json.dumps(rows, indent=2))
        return
    width = max((len(value.key) + len(value.text) + 2 for value in values), default=0)
    for value in values:
        line = f"{value.key}: {value.text}"
        typer.echo(f"{line:<{min(width, 60)}}  # {value.origin}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of config.yml, for editors and CI."""
    typer.echo(json.dumps(json_schema(SECTIONS), indent=2))


def _load(file: Path | None, dev: bool) -> Configuration:
    try:
        configuration = load_configuration(file, os.environ, dev=dev)  # noqa: TID251
    except ConfigurationInvalid as invalid:
        for problem in invalid.problems:
            _say("error", problem)
        for warning in invalid.warnings:
            _say("warning", warning)
        raise typer.Exit(1) from None
    for warning in configuration.warnings:
        _say("warning", warning)
    return configuration


def _say(kind: str, problem: Problem) -> None:
    typer.echo(f"{kind}: {problem}", err=True)
