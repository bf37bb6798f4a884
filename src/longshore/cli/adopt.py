"""`longshore adopt`: take over what another registry left in storage."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from getpass import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from longshore import migrations
from longshore.adoption import store
from longshore.adoption.beginning import Beginning, begin
from longshore.adoption.given import GivenTag, TagsInvalid, from_file, take
from longshore.adoption.links import LinkTree
from longshore.adoption.model import Trouble
from longshore.adoption.survey import Report, Survey
from longshore.adoption.task import Adoption
from longshore.adoption.upstream import POLL
from longshore.app import database_url
from longshore.background import worker_options
from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.output import note, size
from longshore.client.connection import Connection
from longshore.client.credentials import Credential
from longshore.client.harbor import HarborTags
from longshore.config.load import Configuration
from longshore.db.database import Database
from longshore.jobs.foreground import WorkFailed, until_done
from longshore.registry import store as registry
from longshore.registry.model import AdoptionState
from longshore.settings import load_configuration
from longshore.storage import drivers
from longshore.storage.driver import LocalFiles, StorageDriver, StorageError
from longshore.storage.settings import StorageSettings

#: Troubles that `--status` lists.
_SHOWN = 10_000


def command(
    config: Annotated[
        Path | None, typer.Argument(help="config.yml of the registry; default: as `serve`.")
    ] = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only report what is there and what is broken.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Do the work here, and return when it is done.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Only say how far it is, and what was left out.")
    ] = False,
    tags: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Tags come from this file (CSV or lines of JSON) and not from storage: Harbor's.",
        ),
    ] = None,
    harbor_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Tags come from the API of this Harbor."),
    ] = None,
    harbor_user: Annotated[
        str, typer.Option(help="An administrator of that Harbor; the password is read from stdin.")
    ] = "admin",
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    as_json: options.Json = False,
) -> None:
    """Take over the repositories that another registry left in this storage. No byte of it is
    copied or changed. They are served at once; the rest is work of the running server."""
    if check + wait + status > 1:
        raise typer.BadParameter("--check, --wait and --status exclude one another")
    if (tags or harbor_url) and (check or status or (tags and harbor_url)):
        raise typer.BadParameter("--tags or --harbor-url say where tags come from in an adoption")
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    if check:
        _check(configuration, as_json=as_json)
    elif status:
        _status(configuration, as_json=as_json)
    else:
        source = None
        if tags:
            source = from_file(tags)
        elif harbor_url:
            connection = options.connection(ca, insecure, False, None)
            source = _from_harbor(harbor_url, harbor_user, connection)
        _adopt(configuration, source, wait=wait, as_json=as_json)


def _check(configuration: Configuration, *, as_json: bool) -> None:
    report = asyncio.run(_survey(configuration[StorageSettings], quiet=as_json))
    if not (report.repositories or report.blobs):
        raise CommandFailed("storage holds no registry: is the directory or bucket right?")
    print(json.dumps(report.to_json(), indent=2) if as_json else _summary(report))
    if report.trouble_count:
        raise typer.Exit(1)


def _adopt(
    configuration: Configuration,
    source: AsyncIterator[GivenTag] | None,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    database = Database(database_url(configuration), pool_size=4)
    database.open()
    try:
        migrations.upgrade(database)
        begun = asyncio.run(_begin(configuration, database, source, wait=wait))
        document = asyncio.run(_document(database))
    finally:
        database.close()
    if not begun.repositories:
        raise CommandFailed(
            "storage holds no repositories of another registry: is the directory or bucket right?"
        )
    print(json.dumps(document, indent=2) if as_json else _story(begun, document, wait=wait))


async def _from_harbor(url: str, user: str, connection: Connection) -> AsyncIterator[GivenTag]:
    password = getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    async with HarborTags(url, Credential(user, password), connection).open() as harbor:
        async for tag in harbor.tags():
            yield GivenTag.parse(tag.repository, tag.name, tag.digest, tag.pushed)


async def _give(database: Database, source: AsyncIterator[GivenTag]) -> None:
    if await database.read(registry.adoption_state) is not AdoptionState.NOT_STARTED:
        raise CommandFailed("the adoption has begun already, with the tags that it was given then")
    try:
        count = await take(database, source)
    except TagsInvalid as error:
        raise CommandFailed(f"nothing was begun: {error}") from error
    note(f"{count} tags were read")


async def _begin(
    configuration: Configuration,
    database: Database,
    source: AsyncIterator[GivenTag] | None,
    *,
    wait: bool,
) -> Beginning:
    if source is not None:
        await _give(database, source)
    async with _opened(configuration[StorageSettings]) as driver:
        begun = await begin(database, driver)
        if wait and begun.job is not None:
            try:
                task, how = Adoption(database, driver), worker_options(configuration)
                await until_done(database, task, begun.job, note, how)
            except WorkFailed as error:
                raise CommandFailed(str(error)) from error
        elif begun.job is not None and not begun.already:
            await asyncio.sleep(POLL)  # by then every server that runs has noticed
        return begun


def _story(begun: Beginning, document: dict[str, Any], *, wait: bool) -> str:
    if document["state"] == AdoptionState.FINISHED.value:
        left = f"; {document['left_out']} items were left out" if document["left_out"] else ""
        finished = f"{begun.repositories} repositories are taken over{left}"
        if begun.state is AdoptionState.FINISHED:
            finished += (
                " (before now: if another registry has written to this storage since, "
                "`longshore reindex` takes that over)"
            )
        return finished
    again = "goes on" if begun.already else "begins"
    return (
        f"the adoption of {begun.repositories} repositories {again}: start the server, if it does "
        "not run; they are served already. `longshore jobs list` shows how far it is"
    )


def _status(configuration: Configuration, *, as_json: bool) -> None:
    database = Database(database_url(configuration), pool_size=1)
    if database.is_sqlite and not Path(database.url.database or "").is_file():
        database.close()
        raise CommandFailed(f"there is no database {database.url.database}: nothing was adopted")
    database.open()
    try:
        migrations.upgrade(database)
        document = asyncio.run(_document(database))
    finally:
        database.close()
    if as_json:
        print(json.dumps(document, indent=2))
        return
    for trouble in document["troubles"]:
        print("{kind}: {path}: {reason}".format(**trouble))
    print(
        f"adoption {document['state']}: {document['indexed']} of {document['repositories']} "
        f"repositories, {document['left_out']} items left out"
    )


async def _document(database: Database) -> dict[str, Any]:
    indexed, total = await database.read(store.counts)
    troubles = await database.read(lambda connection: store.list_troubles(connection, "", _SHOWN))
    return {
        "state": (await database.read(registry.adoption_state)).value,
        "repositories": total,
        "indexed": indexed,
        "left_out": await database.read(store.count_troubles),
        "troubles": [trouble.to_json() for trouble in troubles],
    }


@asynccontextmanager
async def _opened(storage: StorageSettings) -> AsyncIterator[StorageDriver]:
    driver = drivers.create(storage)
    await driver.open()
    try:
        yield driver
    except StorageError as error:
        raise CommandFailed(f"storage cannot be read: {error}") from error
    finally:
        await driver.close()


async def _survey(storage: StorageSettings, *, quiet: bool) -> Report:
    driver = drivers.create(storage)
    # To open a directory makes it ready for uploads; a check changes nothing.
    if not isinstance(driver, LocalFiles):
        await driver.open()

    def say(trouble: Trouble) -> None:
        if not quiet:
            typer.echo(str(trouble))

    try:
        return await Survey(LinkTree(driver, thorough=True), say).run()
    except StorageError as error:
        raise CommandFailed(f"storage cannot be read: {error}") from error
    finally:
        await driver.close()


def _summary(report: Report) -> str:
    lines = [
        f"{report.repositories} repositories, {report.tags} tags, {report.layers} links to layers",
        f"{report.manifests} manifests ({report.indexes} indexes, {report.referrers} with a subject)",
        f"{report.blobs} blobs, {report.size} bytes ({size(report.size)})",
    ]
    if report.trouble_count:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items()))
        lines.append(f"trouble: {kinds}; what is broken is left out by an adoption")
    else:
        lines.append("no trouble was found")
    return "\n".join(lines)
