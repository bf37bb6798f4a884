"""`longshore robot`: logins of programs."""

import re
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Final

import typer

from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import Config
from longshore.cli.output import moment, note, show, table
from longshore.cli.people import People, people
from longshore.identity import credentials, robots, store
from longshore.identity.model import ROBOT
from longshore.identity.permissions import Permission, Permissions
from longshore.identity.robots import Given, Robot
from longshore.telemetry import clock

app = typer.Typer(
    name="robot",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Make, list, rotate and remove the logins of programs.",
)

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The robot's name: ci, team+ci, or robot+team+ci.")
]
_COLUMNS: Final = ("NAME", "STATE", "MAY", "IN", "EXPIRES", "LAST USED")
_DAY: Final = 86400.0
_PULL: Final = "repository/pull"
_PUSH: Final = "repository/push"
_DELETE: Final = "artifact/delete"


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as ci.")],
    project: Annotated[
        str | None,
        typer.Option(metavar="PROJECT", help="For this project alone; without: for all of them."),
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="May push, and not only pull.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="May delete.")] = False,
    permission: Annotated[
        list[str] | None,
        typer.Option(metavar="RESOURCE/ACTION", help="May do this, too, such as tag/create."),
    ] = None,
    days: Annotated[int, typer.Option(help="How long it lasts; -1: for ever.")] = 30,
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Where it may log in from; without: anywhere."),
    ] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    config: Config = None,
) -> None:
    """Make a robot that pulls, and show its secret this once."""
    wanted = [_PULL, *[_PUSH] * push, *[_DELETE] * delete, *(permission or ())]
    given = [Given(robots.PROJECT, project or robots.EVERYWHERE, _parsed(wanted))]
    robots.checked(given, project)
    stored = robots.name_of(name, project)
    if days != -1 and days <= 0:
        raise CommandFailed(f"--days is {days}: a number of days, or -1 for ever")
    secret, hashed = credentials.make(credentials.ROBOT_PREFIX)
    now = clock.timestamp()
    values: dict[str, Any] = {
        "name": stored,
        "secret_hash": hashed,
        "given": given,
        "now": now,
        "description": description,
        "duration": days,
        "expires_at": None if days == -1 else now + days * _DAY,
        "networks": credentials.networks(network or ()),
    }
    with people(config) as metadata:
        if project is not None:
            values["project_id"] = metadata.read(partial(store.project_id, name=project))
        work = partial(store.add_robot, **values)
        metadata.change(work, "create", "robot", ROBOT + stored, project=project or "")
    note(f"robot {ROBOT}{stored} was made; its secret is shown this once:")
    typer.echo(secret)


@app.command(name="list")
def list_command(config: Config = None, as_json: options.Json = False) -> None:
    """List the robots."""
    with people(config) as metadata:
        found = metadata.read(store.list_robots)
    show(
        [_document(robot) for robot in found],
        table(_COLUMNS, [_row(robot) for robot in found]),
        as_json=as_json,
    )


@app.command()
def rotate(
    name: _Name,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the secret until now counts, too.")
    ] = "0s",
    config: Config = None,
) -> None:
    """Give a robot a new secret, and show it this once."""
    seconds = options.duration(overlap)
    secret, hashed = credentials.make(credentials.ROBOT_PREFIX)
    with people(config) as metadata:
        robot = _robot(metadata, name)
        now = clock.timestamp()
        work = partial(
            store.rotate_robot,
            id=robot.id,
            secret_hash=hashed,
            now=now,
            former_until=credentials.former_until(robot, seconds, now),
        )
        _change(metadata, robot, work, "update", "a new secret")
    note(f"robot {robot.login} has a new secret, which is shown this once:")
    typer.echo(secret)


@app.command()
def disable(name: _Name, config: Config = None) -> None:
    """Let a robot in no longer, at once and until `enable`."""
    _set_disabled(name, config, disabled=True)


@app.command()
def enable(name: _Name, config: Config = None) -> None:
    """Let a disabled robot in again."""
    _set_disabled(name, config, disabled=False)


@app.command()
def rm(name: _Name, config: Config = None) -> None:
    """Remove a robot."""
    with people(config) as metadata:
        robot = _robot(metadata, name)
        _change(metadata, robot, partial(store.remove_robot, id=robot.id), "delete")
    note(f"robot {robot.login} was removed")


def _set_disabled(name: str, config: Any, *, disabled: bool) -> None:
    word = "disabled" if disabled else "enabled"
    with people(config) as metadata:
        robot = _robot(metadata, name)
        work = partial(store.update_robot, id=robot.id, now=clock.timestamp(), disabled=disabled)
        _change(metadata, robot, work, "update", word)
    note(f"robot {robot.login} is {word}")


def _change(
    metadata: People, robot: Robot, work: Any, operation: str, description: str = ""
) -> None:
    metadata.change(
        work,
        operation,
        "robot",
        robot.login,
        project=robot.project or "",
        description=description,
    )


def _robot(metadata: People, name: str) -> Robot:
    stored = robots.spelled(name) or name
    found = metadata.read(partial(store.find_robot, name=stored))
    if found is None:
        raise CommandFailed(f"there is no robot {name!r}: see `longshore robot list`")
    return found


def _parsed(words: list[str]) -> Permissions:
    try:
        return frozenset(Permission.parse(word) for word in words)
    except ValueError as error:
        raise CommandFailed(f"--permission: {error}") from error


def _row(robot: Robot) -> tuple[str, ...]:
    now = clock.timestamp()
    state = "disabled" if robot.disabled else "expired" if robot.expired(now) else "enabled"
    allowed = sorted({str(right) for one in robot.given for right in one.allowed})
    return (
        robot.login,
        state,
        re.sub(r"repository/(pull|push)", r"\1", ", ".join(allowed)),
        ", ".join(sorted({one.namespace for one in robot.given})),
        moment(robot.expires_at),
        moment(robot.last_used_at),
    )


def _document(robot: Robot) -> dict[str, Any]:
    document = asdict(robot)
    for name in ("secret_hash", "former_hash", "view"):
        del document[name]
    return {**document, "given": robots.to_document(robot.given), "login": robot.login}
