"""`longshore token-keys`: the keys that the registry's own tokens are signed with."""

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from longshore.app import encryption
from longshore.cli import options
from longshore.cli.metadata import Config
from longshore.cli.output import note, show, table
from longshore.cli.people import people, people_configured
from longshore.db.database import Connection
from longshore.identity import store
from longshore.identity.settings import TokenServiceSettings
from longshore.identity.signing import LEAD, make_key, signing, waiting
from longshore.telemetry import clock

app = typer.Typer(
    name="token-keys",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="See and replace the keys that sign the registry's own tokens (auth.longshore).",
)

_COLUMNS: Final = ("KEY", "ALGORITHM", "MADE", "SIGNS FROM", "STATE")


@app.command(name="list")
def list_command(config: Config = None, as_json: options.Json = False) -> None:
    """List the keys; private parts are not shown."""
    with people(config) as metadata:
        keys = metadata.read(store.list_signing_keys)
    now = clock.timestamp()
    signs = signing(keys, now)
    rows = []
    for key in keys:
        state = "signs" if key is signs else "next" if key.signs_from > now else "verifies"
        rows.append(
            (key.kid, key.algorithm, _moment(key.created_at), _moment(key.signs_from), state)
        )
    fields = ("kid", "algorithm", "created_at", "signs_from", "state")
    content = [
        dict(
            zip(
                fields,
                (key.kid, key.algorithm, key.created_at, key.signs_from, row[4]),
                strict=True,
            )
        )
        for key, row in zip(keys, rows, strict=True)
    ]
    show(content, table(_COLUMNS, rows), as_json=as_json)


@app.command()
def rotate(
    at_once: Annotated[
        bool, typer.Option("--now", help="The new key signs at once, not in a quarter of an hour.")
    ] = False,
    revoke: Annotated[
        bool,
        typer.Option(
            "--revoke",
            help="And the old keys are removed: every token ends, uploads that are open start again.",
        ),
    ] = False,
    config: Config = None,
) -> None:
    """Make a new key. Tokens of the old ones stay valid until they end, unless --revoke is given.

    Running servers notice within half a minute; nobody has to log in again.
    """
    now = clock.timestamp()
    with people_configured(config) as (configuration, metadata):
        algorithm = configuration[TokenServiceSettings].algorithm
        keys = encryption(configuration, metadata.database)
        made = make_key(algorithm, keys, now, 0.0 if at_once or revoke else LEAD)

        def change(connection: Connection) -> int:
            known = store.list_signing_keys(connection)
            gone = [key.kid for key in known] if revoke else []
            if at_once:
                gone += waiting(known, now)
            store.remove_signing_keys(connection, gone)
            store.add_signing_key(connection, made)
            return len(gone)

        description = "the others were removed" if revoke else "added"
        gone = metadata.change(change, "create", "token-key", made.kid, description=description)
    when = "now" if at_once or revoke else f"from {_moment(made.signs_from)}"
    note(f"the key {made.kid} signs {when}" + (f"; {gone} others were removed" if gone else ""))


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
