"""`longshore group`: groups of users, and who is in the teams among them."""

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
from longshore.db.listing import Listing
from longshore.identity import store, validation
from longshore.identity.model import Group, GroupKind, TeamMember
from longshore.telemetry import clock

app = typer.Typer(
    name="group",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="List groups; make and remove teams, whose members are named here.",
)
_member = typer.Typer(no_args_is_help=True, help="Say who is in a team.")
app.add_typer(_member, name="member")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The team's name.")]
_Team = Annotated[str, typer.Argument(metavar="TEAM", help="The team's name.")]
_User = Annotated[str, typer.Argument(metavar="USER", help="The user's name.")]
_COLUMNS: Final = ("NAME", "KIND", "MEMBERS", "CALLED THERE")


@app.command(name="list")
def list_command(config: Config = None, as_json: options.Json = False) -> None:
    """List the groups: teams, and those that directories and providers told of."""

    def read(connection: Connection) -> tuple[list[Group], dict[int, int]]:
        return store.list_groups(connection), store.count_members_of_groups(connection)

    with people(config) as metadata:
        found, counts = metadata.read(read)
    rows = [
        (
            group.name,
            group.kind.word,
            str(counts.get(group.id, 0)),
            group.external_id if group.external_id != group.name else "",
        )
        for group in found
    ]
    document = [
        {**asdict(group), "kind": group.kind.word, "members": counts.get(group.id, 0)}
        for group in found
    ]
    show(document, table(_COLUMNS, rows), as_json=as_json)


@app.command()
def create(name: _Name, config: Config = None) -> None:
    """Make a team, of nobody yet."""
    checked = validation.team_name(name)
    work = partial(store.add_group, kind=GroupKind.TEAM, name=checked, now=clock.timestamp())
    with people(config) as metadata:
        metadata.change(work, "create", "group", checked)
    note(f"team {checked} was made")


@app.command()
def delete(name: _Name, config: Config = None) -> None:
    """Remove a team with its roles in projects; its users stay."""

    def work(connection: Connection) -> None:
        store.remove_group(connection, _team(connection, name).id)

    with people(config) as metadata:
        metadata.change(work, "delete", "group", name)
    note(f"team {name} was removed")


@_member.command(name="list")
def list_members(team: _Team, config: Config = None, as_json: options.Json = False) -> None:
    """List who is in a team."""

    def read(connection: Connection) -> list[TeamMember]:
        return store.page_of_team(connection, _team(connection, team).id, Listing())[0]

    with people(config) as metadata:
        found = metadata.read(read)
    rows = [(member.user, "maintainer" if member.maintainer else "member") for member in found]
    document = [{"user": member.user, "maintainer": member.maintainer} for member in found]
    show(document, table(("USER", "IS"), rows), as_json=as_json)


@_member.command(name="add")
def add_member(
    team: _Team,
    user: _User,
    maintainer: Annotated[
        bool, typer.Option("--maintainer", help="May say who else is in it.")
    ] = False,
    config: Config = None,
) -> None:
    """Put a user into a team; of who is in it, change whether they are a maintainer."""

    def work(connection: Connection) -> None:
        group, id = _team(connection, team).id, store.user_id(connection, user)
        if not store.add_to_group(connection, group, id, maintainer=maintainer):
            store.set_maintainer(connection, group, id, maintainer=maintainer)

    with people(config) as metadata:
        told = f"user {user!r} is {'a maintainer of it' if maintainer else 'in it'} from now on"
        metadata.change(work, "update", "group", team, description=told)
    note(f"user {user} is {'a maintainer of' if maintainer else 'in'} team {team}")


@_member.command(name="remove")
def remove_member(team: _Team, user: _User, config: Config = None) -> None:
    """Take a user out of a team."""

    def work(connection: Connection) -> None:
        group, id = _team(connection, team).id, store.user_id(connection, user)
        if store.find_team_member(connection, group, id) is None:
            raise CommandFailed(f"user {user!r} is not in team {team!r}")
        store.remove_from_group(connection, group, id)

    with people(config) as metadata:
        told = f"user {user!r} is in it no more"
        metadata.change(work, "update", "group", team, description=told)
    note(f"user {user} is not in team {team}")


def _team(connection: Connection, name: str) -> Group:
    found = store.find_group(connection, kind=GroupKind.TEAM, external_id=name)
    if found is None:
        raise CommandFailed(f"there is no team {name!r}: see `longshore group list`")
    return found
