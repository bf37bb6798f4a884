"""`longshore token`: personal access tokens of users."""

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Final

import typer

from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import Config
from longshore.cli.output import moment, note, show, table
from longshore.cli.people import People, people
from longshore.identity import access_tokens, credentials, store
from longshore.identity.access_tokens import AccessToken
from longshore.telemetry import clock

app = typer.Typer(
    name="token",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Make, list, rotate and remove the access tokens of users.",
)

_User = Annotated[str, typer.Argument(metavar="USER", help="Whose it is.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="What the token is called.")]
_COLUMNS: Final = ("NAME", "SCOPES", "PROJECTS", "EXPIRES", "LAST USED", "FROM")
_DAY: Final = 86400.0


@app.command()
def add(
    user: _User,
    name: _Name,
    scope: Annotated[
        list[str], typer.Option(help="pull, push, delete, or manage: whatever the user may.")
    ],
    project: Annotated[
        list[str] | None, typer.Option(help="Good for this project alone; without: for all.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long it lasts; 0: until it is removed.")] = 30,
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="CIDR", help="Where it may be used from; without: anywhere."),
    ] = None,
    config: Config = None,
) -> None:
    """Make an access token for a user, and show it this once."""
    if days < 0:
        raise CommandFailed(f"--days is {days}: a number of days, or 0 for ever")
    text, hashed = credentials.make(credentials.PERSONAL_PREFIX)
    now = clock.timestamp()
    values: dict[str, Any] = {
        "name": access_tokens.name_of(name),
        "secret_hash": hashed,
        "now": now,
        "scopes": access_tokens.scopes_of(scope),
        "projects": access_tokens.projects_of(project or ()),
        "expires_at": now + days * _DAY if days else None,
        "networks": credentials.networks(network or ()),
    }
    with people(config) as metadata:
        user_id = metadata.read(partial(store.user_id, name=user))
        work = partial(store.add_access_token, user_id=user_id, **values)
        metadata.change(work, "create", "access-token", user, description=f"{name!r}")
    note(f"access token {name!r} of user {user} was made; it is shown this once:")
    typer.echo(text)


@app.command(name="list")
def list_command(user: _User, config: Config = None, as_json: options.Json = False) -> None:
    """List a user's access tokens."""
    with people(config) as metadata:
        found = _tokens(metadata, user)
    rows = [
        (
            token.name,
            ", ".join(token.scopes),
            ", ".join(token.projects) or "all",
            moment(token.expires_at),
            moment(token.last_used_at),
            token.last_used_from,
        )
        for token in found
    ]
    show([_document(token) for token in found], table(_COLUMNS, rows), as_json=as_json)


@app.command()
def rotate(
    user: _User,
    name: _Name,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="How long the token until now counts, too.")
    ] = "0s",
    days: Annotated[int, typer.Option(help="How long it lasts; 0: until it is removed.")] = 30,
    config: Config = None,
) -> None:
    """Replace an access token, and show the new one this once; its rights stay."""
    seconds = options.duration(overlap)
    text, hashed = credentials.make(credentials.PERSONAL_PREFIX)
    now = clock.timestamp()
    with people(config) as metadata:
        token = _token(metadata, user, name)
        work = partial(
            store.rotate_access_token,
            id=token.id,
            secret_hash=hashed,
            now=now,
            former_until=credentials.former_until(token, seconds, now),
            expires_at=now + days * _DAY if days else None,
        )
        metadata.change(work, "update", "access-token", user, description=f"{name!r} was replaced")
    note(f"access token {name!r} of user {user} was replaced; the new one is shown this once:")
    typer.echo(text)


@app.command()
def rm(user: _User, name: _Name, config: Config = None) -> None:
    """End an access token, at once and everywhere."""
    with people(config) as metadata:
        token = _token(metadata, user, name)
        work = partial(store.remove_access_token, user_id=token.user_id, id=token.id)
        metadata.change(work, "delete", "access-token", user, description=f"{name!r}")
    note(f"access token {name!r} of user {user} has ended")


def _tokens(metadata: People, user: str) -> list[AccessToken]:
    user_id = metadata.read(partial(store.user_id, name=user))
    found: list[AccessToken] = metadata.read(partial(store.list_access_tokens, user_id=user_id))
    return found


def _token(metadata: People, user: str, name: str) -> AccessToken:
    for token in _tokens(metadata, user):
        if token.name == name:
            return token
    raise CommandFailed(
        f"user {user} has no access token {name!r}: see `longshore token list {user}`"
    )


def _document(token: AccessToken) -> dict[str, Any]:
    document = asdict(token)
    for name in ("secret_hash", "former_hash"):
        del document[name]
    return document
