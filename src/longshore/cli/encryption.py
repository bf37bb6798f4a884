"""`longshore encryption`: the keys of the secrets that the database holds."""

import os
from collections import Counter
from functools import partial

import typer

from longshore.app import encryption
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import Config, Metadata, registry_database
from longshore.cli.output import note
from longshore.db.rotation import Batch, Rotation, batches
from longshore.db.rotation import rotate as rotate_batch
from longshore.settings import load_configuration

app = typer.Typer(
    name="encryption",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Change the key of the secrets that the registry keeps in its database.",
)


@app.callback()
def _group() -> None:
    """Without this the only command would take the group's place."""


@app.command()
def rotate(config: Config = None) -> None:
    """Encrypt every secret with the first of longshore.encryption.keys, while the registry runs.

    Put the new key before the old one in the configuration of every node and restart them; then run this;
    then remove the old one. May be run again at any time.
    """
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    found = Rotation()
    with registry_database(configuration) as database:
        keys, metadata = encryption(configuration, database), Metadata(database)
        for first in batches():
            batch: Batch | None = first
            while batch is not None:
                done, batch = metadata.write(partial(rotate_batch, encryption=keys, batch=batch))
                found += done
    note(f"{found.changed} secrets were encrypted anew, {found.current} had the newest key")
    if found.undecipherable:
        lost = ", ".join(
            f"{count} in {name}" for name, count in Counter(found.undecipherable).items()
        )
        raise CommandFailed(
            f"no key decrypts {lost}: put the key that they were encrypted with, or the former "
            "http.secret, last into longshore.encryption.keys, or set these secrets again"
        )
