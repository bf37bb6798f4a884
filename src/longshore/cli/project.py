"""`longshore project`: what repositories belong to, and who may do what in it."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Annotated, Final

import typer

from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import Config
from longshore.cli.output import note, show, table
from longshore.cli.people import people
from longshore.db.database import Connection
from longshore.identity import store, validation
from longshore.identity.model import Group, Role
from longshore.telemetry import clock

app = typer.Typer(
    name="project",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Add, list and remove projects, and say who is what in them.",
)
_member = typer.Typer(
    no_args_is_help=True, help="Give users and groups roles in a project, and take them."
)
app.add_typer(_member, name="member")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The project's name.")]
_Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")]
_Who = Annotated[str, typer.Argument(metavar="USER", help="The user's name, or the group's.")]
_IsGroup = Annotated[
    bool,
    typer.Option(
        "--group", help="USER is a group: its name, its DN, or KIND:NAME (team:, ldap:, oidc:)."
    ),
]
_COLUMNS: Final = ("NAME", "PULLING", "OWNER")
_Work = Callable[[Connection], None]


@app.command()
def add(
    name: _Name,
    public: Annotated[bool, typer.Option("--public", help="Everybody may pull.")] = False,
    owner: Annotated[
        str | None, typer.Option(metavar="USER", help="Becomes its first project admin.")
    ] = None,
    config: Config = None,
) -> None:
    """Add a project: repositories NAME/... may be pushed from then on."""
    checked = validation.project_name(name)
    now = clock.timestamp()
    with people(config) as metadata:
        work = partial(store.add_project, name=checked, now=now, public=public, owner=owner)
        metadata.change(work, "create", "project", checked, project=checked)
    note(f"project {name} was added")


@app.command(name="list")
def list_command(config: Config = None, as_json: options.Json = False) -> None:
    """List the projects."""
    with people(config) as metadata:
        found = metadata.read(store.list_projects)
    rows = [
        (project.name, "everybody" if project.public else "members", project.owner or "")
        for project in found
    ]
    show([asdict(project) for project in found], table(_COLUMNS, rows), as_json=as_json)


@app.command()
def rm(name: _Name, config: Config = None) -> None:
    """Remove a project that holds no image, with its members' roles."""
    with people(config) as metadata:
        work = partial(store.remove_project, name=name)
        metadata.change(work, "delete", "project", name, project=name)
    note(f"project {name} was removed")


@app.command()
def public(name: _Name, config: Config = None) -> None:
    """Let everybody pull, without a login."""
    with people(config) as metadata:
        work = partial(store.set_public, name=name, public=True)
        metadata.change(work, "update", "project", name, project=name, description="made public")
    note(f"project {name} is public")


@app.command()
def private(name: _Name, config: Config = None) -> None:
    """Let only members pull."""
    with people(config) as metadata:
        work = partial(store.set_public, name=name, public=False)
        metadata.change(work, "update", "project", name, project=name, description="made private")
    note(f"project {name} is private")


@app.command()
def members(name: _Name, config: Config = None, as_json: options.Json = False) -> None:
    """List who is what in a project."""
    with people(config) as metadata:
        found = metadata.read(partial(store.list_members, project=name))
    rows = [(member.user or f"{member.group} (group)", member.role.word) for member in found]
    document = [
        {"user" if member.user else "group": member.user or member.group, "role": member.role.word}
        for member in found
    ]
    show(document, table(("USER", "ROLE"), rows), as_json=as_json)


@_member.command(name="add")
def add_member(
    project: _Project,
    user: _Who,
    role: Annotated[
        str,
        typer.Argument(
            metavar="ROLE",
            help=f"What they are to be: {', '.join(role.word for role in Role)}, or a custom role.",
        ),
    ],
    group: _IsGroup = False,
    config: Config = None,
) -> None:
    """Give a user, or a group, a role in a project, or another one."""
    with people(config) as metadata:
        found = metadata.read(partial(store.any_role, name=role))
        work: _Work = partial(store.set_member, project=project, user=user, role=found)
        who, name = f"user {user}", user
        if group:
            known = metadata.read(partial(_group, word=user))
            work = partial(store.set_group_member, project=project, group=known.id, role=found)
            who, name = f"{known.kind.word} {known.name}", known.name
        is_to_be = f"is to be {role}"
        metadata.change(work, "update", "member", name, project=project, description=is_to_be)
    note(f"{who} is {role} of project {project}")


@_member.command(name="rm")
def remove_member(
    project: _Project, user: _Who, group: _IsGroup = False, config: Config = None
) -> None:
    """Take a user's, or a group's, role in a project."""
    work: _Work = partial(store.remove_member, project=project, user=user)
    with people(config) as metadata:
        who, name = f"user {user}", user
        if group:
            known = metadata.read(partial(_group, word=user))
            work = partial(store.remove_group_member, project=project, group=known)
            who, name = f"{known.kind.word} {known.name}", known.name
        no_more = "is a member no more"
        metadata.change(work, "delete", "member", name, project=project, description=no_more)
    note(f"{who} is no member of project {project}")


def _group(connection: Connection, word: str) -> Group:
    """The group that ``word`` names. Raises CommandFailed when it names none, or several."""
    found = store.groups_called(connection, word)
    kind, colon, name = word.partition(":")
    if not found and colon:
        found = [one for one in store.groups_called(connection, name) if one.kind.word == kind]
    if not found:
        raise CommandFailed(f"there is no group {word!r}: see `longshore group list`")
    if len(found) > 1:
        known = ", ".join(f"{one.kind.word}:{one.external_id}" for one in found)
        raise CommandFailed(f"{word!r} may be one of several groups; write which: {known}")
    return found[0]
