"""`longshore storage`: where bytes lie, and moving them."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import registry_database
from longshore.cli.output import note, show
from longshore.config.load import Configuration
from longshore.config.quantities import parse_size
from longshore.config.wording import did_you_mean
from longshore.db import occupancy
from longshore.db.database import Database
from longshore.jobs import queue
from longshore.jobs import store as job_store
from longshore.oci.digest import Digest
from longshore.oci.patterns import PatternInvalid, compile_pattern
from longshore.placement import store
from longshore.placement.model import MOVE, Holding, Move, Stored
from longshore.placement.move import Estimate, estimate
from longshore.settings import load_configuration
from longshore.storage import layout
from longshore.storage.backends import DEFAULT, shown, stored
from longshore.storage.configured import create_backends
from longshore.storage.driver import PathNotFound
from longshore.storage.settings import BackendSettings, BackendsSettings, StorageSettings
from longshore.telemetry import clock

app = typer.Typer(
    name="storage",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="See where the bytes of a registry lie, and move them to another backend.",
)

_Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="config.yml of the registry; default: as `serve`."),
]
_COLUMNS: Final = ("BACKEND", "KIND", "PLACE", "BLOBS", "BYTES", "TO BE REMOVED")
#: Blobs that a renaming looks for in the place with the new name.
_SAMPLE: Final = 200


@app.command(name="list")
def list_command(config: _Config = None, as_json: options.Json = False) -> None:
    """List the backends, and what each holds."""
    configuration = _load(config)
    with registry_database(configuration) as database:
        holdings = asyncio.run(database.read(store.holdings))
    known = _backends(configuration)
    names = [*known, *(name for name in holdings if name not in known)]
    found = [_entry(name, known.get(name), holdings.get(name, Holding())) for name in names]
    rows = [
        _COLUMNS,
        *(tuple(str(value) for value in entry.values()) for entry in found),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    show(found, "\n".join(lines), as_json=as_json)


def _entry(name: str, settings: BackendSettings | None, holding: Holding) -> dict[str, Any]:
    return {
        "backend": shown(name),
        "kind": settings.driver if settings else "",
        "place": settings.where if settings else "not configured",
        "blobs": holding.blobs,
        "bytes": holding.size,
        "removable": holding.spare_size,
    }


@app.command()
def move(
    to: Annotated[str, typer.Option("--to", help="The backend that gets the bytes.")],
    config: _Config = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Only what lies in this one; default: all others.")
    ] = None,
    repositories: Annotated[
        str | None, typer.Option(help="Only what these repositories use: archive/**.")
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Also what other repositories use besides.")
    ] = False,
    rate: Annotated[
        str | None, typer.Option(help="Most bytes a second: 50MiB. Default: no limit.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would move.")] = False,
) -> None:
    """Move bytes to another backend while the registry serves: queues a job for its servers."""
    configuration = _load(config)
    wanted = Move(
        _known(configuration, to),
        None if source is None else _known(configuration, source),
        repositories,
        shared,
        _rate(rate),
    )
    _check(wanted)
    with registry_database(configuration) as database:
        job, found = asyncio.run(_queue(database, wanted, dry_run))
    what = f"{found.blobs} blobs ({found.size} bytes)"
    if found.shared:
        what += f"; {found.shared} are used by other repositories, too, and stay (--shared)"
    if dry_run:
        note(f"would move to {to}: {what}")
    elif job is None:
        note(f"nothing is to be moved: {what}")
    else:
        note(f"job {job} moves to {to}: {what}\nsee `longshore jobs show {job}`")


async def _queue(database: Database, wanted: Move, dry_run: bool) -> tuple[int | None, Estimate]:
    live = await database.read(partial(job_store.live_job, kind=MOVE, key=MOVE))
    if live is not None and not dry_run:
        raise CommandFailed(
            f"job {live.id} moves already: wait for it, or end it with "
            f"`longshore jobs cancel {live.id}`"
        )
    found = await estimate(database, wanted)
    if dry_run or not found.blobs:
        return None, found
    add = partial(
        queue.enqueue, kind=MOVE, payload=wanted.to_json(), key=MOVE, now=clock.timestamp()
    )
    return await database.write(add), found


@app.command()
def rename(
    old: Annotated[str, typer.Argument(help="The name so far; `default` for `storage`.")],
    new: Annotated[str, typer.Argument(help="The name, in config.yml already, of the same place.")],
    config: _Config = None,
) -> None:
    """Say that what lay in one backend is in another now: after its name changed, or when it became
    the default one. The registry must be stopped. Moves no bytes."""
    configuration = _load(config)
    target = _known(configuration, new)
    if stored(old) == target:
        raise CommandFailed("the two names are the same")
    if old in configuration[BackendsSettings].backends:
        raise CommandFailed(
            f"{old} is still one of longshore.storage.backends: write config.yml with the new name "
            "first, then rename"
        )
    with registry_database(configuration) as database:
        try:
            with occupancy.alone(database):
                count = asyncio.run(_rename(configuration, database, stored(old), target))
        except occupancy.Occupied as error:
            raise CommandFailed(
                "a server works on this registry: stop it, then rename, then start it again"
            ) from error
    note(f"blobs that are in {new} now: {count}")


async def _rename(configuration: Configuration, database: Database, old: str, new: str) -> int:
    holding = (await database.read(store.holdings)).get(new, Holding())
    if holding.blobs:
        raise CommandFailed(
            f"nothing was changed: {holding.blobs} blobs lie in {shown(new)} already, in the place that "
            "the name had before; move or delete them first"
        )
    samples = await database.read(partial(store.sample, backend=old, limit=_SAMPLE))
    backends = create_backends(configuration)
    driver = backends[new].driver
    await driver.open()
    try:
        for sample in samples:
            await _expect(sample, driver, new)
    finally:
        await driver.close()
    return await database.write(partial(store.rename, old=old, new=new))


async def _expect(sample: Stored, driver: Any, new: str) -> None:
    try:
        found = await driver.stat(layout.blob(Digest(sample.digest)))
    except PathNotFound as error:
        raise CommandFailed(
            f"nothing was changed: {shown(new)} does not have {sample.digest}, so it is another "
            "place; to bring bytes there use `longshore storage move`"
        ) from error
    if found.size != sample.size:
        raise CommandFailed(
            f"nothing was changed: {sample.digest} has {found.size} bytes in {shown(new)}, not "
            f"{sample.size}"
        )


def _load(config: Path | None) -> Configuration:
    return load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader


def _backends(configuration: Configuration) -> dict[str, BackendSettings]:
    """By the names that the database has."""
    named = configuration[BackendsSettings].backends
    return {DEFAULT: configuration[StorageSettings], **named}


def _known(configuration: Configuration, name: str) -> str:
    names = [shown(found) for found in _backends(configuration)]
    if name not in names:
        raise CommandFailed(
            f"there is no backend {name!r}{did_you_mean(name, names)}; there are: "
            f"{', '.join(names)} (longshore.storage.backends)"
        )
    return stored(name)


def _rate(written: str | None) -> int | None:
    if written is None:
        return None
    try:
        rate = parse_size(written)
    except ValueError as error:
        raise CommandFailed(f"--rate: {error}") from error
    if rate < 1:
        raise CommandFailed("--rate: must be more than 0")
    return rate


def _check(wanted: Move) -> None:
    if wanted.source == wanted.to:
        raise CommandFailed(f"--from and --to are both {shown(wanted.to)}")
    if wanted.shared and wanted.repositories is None:
        raise CommandFailed("--shared says nothing without --repositories")
    try:
        compile_pattern(wanted.repositories or "**")
    except PatternInvalid as error:
        raise CommandFailed(f"--repositories: {error}") from error
