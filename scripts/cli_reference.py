"""Writes docs/reference/cli.md: the help of every command."""

from pathlib import Path

import click

from longshore.cli.main import COMMANDS, load

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
_HEAD = """\
# The command line

What `longshore COMMAND --help` says. `registry serve` and `registry garbage-collect` are the same code under
distribution's names.
"""
_TAIL = """
This page is made from the code: `python -m scripts.cli_reference`.
"""


def render() -> str:
    """The page's text."""
    return _HEAD + "".join(_section(f"longshore {name}", load(name)) for name in COMMANDS) + _TAIL


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name, max_content_width=100, terminal_width=100)
    lines = (line.rstrip() for line in command.get_help(context).splitlines())
    text = f"\n## {name}\n\n```text\n" + "\n".join(lines) + "\n```\n"
    for sub, inner in getattr(command, "commands", {}).items():
        text += _section(f"{name} {sub}", inner)
    return text


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render())
