"""`longshore role`: what members may be beside Harbor's five roles."""

from functools import partial
from typing import Annotated, Any, Final

import typer

from longshore.cli import options
from longshore.cli.metadata import Config
from longshore.cli.output import note, show, table
from longshore.cli.people import people
from longshore.identity import store, validation
from longshore.identity.model import AnyRole, CustomRole, Role
from longshore.identity.permissions import Permission
from longshore.telemetry import clock

app = typer.Typer(
    name="role",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Make and remove custom roles, and list what roles give.",
)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The role's name.")]
_COLUMNS: Final = ("NAME", "ID", "PERMISSIONS", "DESCRIPTION")


@app.command(name="list")
def list_command(config: Config = None, as_json: options.Json = False) -> None:
    """List the roles: those that every project has, and custom ones."""
    with people(config) as metadata:
        found: list[AnyRole] = [*Role, *metadata.read(store.list_roles)]
    rows = [
        (role.word, str(role.value), str(len(role.permissions)), _description(role))
        for role in found
    ]
    show([_document(role) for role in found], table(_COLUMNS, rows), as_json=as_json)


@app.command(name="show")
def show_command(name: _Name, config: Config = None, as_json: options.Json = False) -> None:
    """List the permissions that a role gives."""
    with people(config) as metadata:
        found = metadata.read(partial(store.any_role, name=name))
    lines = "\n".join(sorted(map(str, found.permissions)))
    show(_document(found), lines, as_json=as_json)


@app.command()
def create(
    name: _Name,
    permissions: Annotated[
        list[str],
        typer.Argument(
            metavar="PERMISSION...",
            help="Resource and action, as in repository/pull; `longshore role show project-admin` lists them.",
        ),
    ],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    config: Config = None,
) -> None:
    """Make a role. Every role gives project/read, too."""
    try:
        wanted = [Permission.parse(text) for text in permissions]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    work = partial(
        store.add_role,
        name=validation.role_name(name),
        permissions=validation.role_permissions(wanted),
        now=clock.timestamp(),
        description=description,
    )
    with people(config) as metadata:
        added = metadata.change(work, "create", "role", name)
    note(f"role {name} was made, with the id {added}")


@app.command()
def delete(name: _Name, config: Config = None) -> None:
    """Remove a custom role that no member has."""
    checked = validation.role_name(name)
    with people(config) as metadata:
        found = metadata.read(partial(store.any_role, name=checked))
        work = partial(store.remove_role, id=found.value)
        metadata.change(work, "delete", "role", name)
    note(f"role {name} was removed")


def _description(role: AnyRole) -> str:
    return role.description if isinstance(role, CustomRole) else ""


def _document(role: AnyRole) -> dict[str, Any]:
    return {
        "name": role.word,
        "id": role.value,
        "custom": isinstance(role, CustomRole),
        "description": _description(role),
        "permissions": sorted(map(str, role.permissions)),
    }
