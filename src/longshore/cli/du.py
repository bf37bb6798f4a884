"""`longshore du`: what weighs how much, and what deleting it would free."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from longshore.accounting import store, usage
from longshore.accounting.model import Deletion, Overview, RepositoryUsage, Usage
from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import registry_database
from longshore.cli.output import show, size
from longshore.db.database import Connection
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, Tag
from longshore.registry.store import find_manifest, repository_id
from longshore.settings import load_configuration

_HEADER: Final = ("exclusive", "shared", "stored", "logical", "name")
#: Repositories that a sentence names.
_NAMED: Final = 3


class Depth(StrEnum):
    """What a line of the table stands for."""

    REPOSITORIES = "repositories"
    PROJECTS = "projects"


class Order(StrEnum):
    """By which column, the largest first; by name, in order."""

    EXCLUSIVE = "exclusive"
    STORED = "stored"
    SHARED = "shared"
    LOGICAL = "logical"
    NAME = "name"


def command(
    name: Annotated[
        str | None,
        typer.Argument(help="A project, a repository, or repository:tag or repository@digest."),
    ] = None,
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="config.yml of the registry; default: as `serve`."),
    ] = None,
    depth: Annotated[
        Depth, typer.Option("--depth", help="What to list when no NAME is given.")
    ] = Depth.REPOSITORIES,
    sort: Annotated[Order, typer.Option("--sort", help="What to sort by.")] = Order.EXCLUSIVE,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Most lines of the table; 0 for all.")
    ] = 50,
    as_json: options.Json = False,
) -> None:
    """Show how many bytes repositories, projects or tags take, and how many deleting each would free.
    A project is the first component of a repository's name."""
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    work = partial(_answer, name=name or "", depth=depth, sort=sort, limit=limit)
    with registry_database(configuration) as database:
        document, text = asyncio.run(database.read(work))
    show(document, text, as_json=as_json)


def _answer(
    connection: Connection, name: str, depth: Depth, sort: Order, limit: int
) -> tuple[dict[str, Any], str]:
    repository, reference = _parse(name) if name else ("", None)
    known = repository_id(connection, RepositoryName(repository)) if repository else None
    if known is not None and reference is not None:
        return _deletion(connection, known, RepositoryName(repository), reference)
    if known is not None:
        return _repository(usage.of_repository(connection, known), repository, sort, limit)
    if reference is not None:
        raise CommandFailed(f"there is no repository {repository!r}")
    projects = depth is Depth.PROJECTS and not name
    found = store.overview(connection, projects=projects, within=repository or None)
    if repository and not found.groups:
        raise CommandFailed(f"there is neither a repository nor a project {repository!r}")
    return _overview(found, repository, "projects" if projects else "repositories", sort, limit)


def _parse(name: str) -> tuple[str, Tag | Digest | None]:
    repository, at, digest = name.partition("@")
    if at:
        return RepositoryName(repository), Digest(digest)
    repository, colon, tag = name.partition(":")
    return RepositoryName(repository), Tag(tag) if colon else None


def _overview(
    found: Overview, project: str, what: str, sort: Order, limit: int
) -> tuple[dict[str, Any], str]:
    document = {
        what: _documents(found.groups, sort),
        "total": _document(found.whole),
        "waiting": found.waiting,
    }
    lines = _table(found.groups, sort, limit)
    if project:
        return {what: document[what]}, "\n".join(lines)
    lines.append(
        f"total: {size(found.whole.stored)} stored for {size(found.whole.logical)} of content; "
        f"{size(found.waiting)} belong to nothing and wait for collection"
    )
    return document, "\n".join(lines)


def _repository(
    found: RepositoryUsage, name: str, sort: Order, limit: int
) -> tuple[dict[str, Any], str]:
    document = {
        "repository": name,
        "tags": _documents(found.tags, sort),
        "untagged": _document(found.untagged),
        "total": _document(found.whole),
    }
    rows = dict(found.tags)
    lines = _table(rows, sort, limit)
    if found.untagged.stored:
        lines.append(
            f"what no tag reaches: {size(found.untagged.stored)}, "
            f"deleting it frees {size(found.untagged.exclusive)}"
        )
    whole = found.whole
    lines.append(
        f"total: {size(whole.stored)} stored for {size(whole.logical)} of content; deleting the "
        f"repository frees {size(whole.exclusive)}, {size(whole.shared)} more stay because other "
        "repositories use them"
    )
    return document, "\n".join(lines)


def _deletion(
    connection: Connection, repository: int, name: RepositoryName, reference: Tag | Digest
) -> tuple[dict[str, Any], str]:
    manifest = find_manifest(connection, name, reference)
    if manifest is None:
        raise CommandFailed(f"repository {name!r} has no {reference!r}")
    tag = reference if isinstance(reference, Tag) else None
    found = usage.of_deletion(connection, repository, manifest.digest, tag)
    document = {
        "repository": name,
        "digest": manifest.digest,
        **_document(found.usage),
        "manifests": found.manifests,
        "here": found.here,
        "elsewhere": dict(_largest(found.elsewhere)),
        "same": list(found.same),
    }
    return document, _sentence(found, name)


def _sentence(found: Deletion, name: str) -> str:
    weight = f"{size(found.usage.stored)} stored for {size(found.usage.logical)} of content"
    if found.same:
        return f"{weight}; deleting this frees nothing: tag {found.same[0]} names the same manifest"
    text = f"{weight}; deleting this frees {size(found.usage.exclusive)}"
    if not found.usage.shared:
        return text
    users = [f"other images of {name} use {size(found.here)}"] if found.here else []
    largest = _largest(found.elsewhere)
    users += [f"{other} uses {size(count)}" for other, count in largest[:_NAMED]]
    if len(largest) > _NAMED:
        users.append(f"{len(largest) - _NAMED} more repositories use some")
    return f"{text} ({size(found.usage.shared)} more stay, because {', '.join(users)})"


def _largest(found: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def _sorted(found: Mapping[str, Usage], sort: Order) -> list[tuple[str, Usage]]:
    def key(item: tuple[str, Usage]) -> tuple[int, int, str]:
        name, one = item
        first = 0 if sort is Order.NAME else -int(getattr(one, sort))
        return first, 0 if sort is Order.NAME else -one.stored, name

    return sorted(found.items(), key=key)


def _documents(found: Mapping[str, Usage], sort: Order) -> list[dict[str, Any]]:
    return [{"name": name, **_document(one)} for name, one in _sorted(found, sort)]


def _document(one: Usage) -> dict[str, Any]:
    return {**asdict(one), "shared": one.shared}


def _table(found: Mapping[str, Usage], sort: Order, limit: int) -> list[str]:
    rows = _sorted(found, sort)
    shown = rows[:limit] if limit else rows
    cells = [_HEADER] + [
        (*(size(count) for count in (one.exclusive, one.shared, one.stored, one.logical)), name)
        for name, one in shown
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = [
        "  ".join([*(row[column].rjust(widths[column]) for column in range(4)), row[4]])
        for row in cells
    ]
    if len(rows) > len(shown):
        lines.append(f"... and {len(rows) - len(shown)} more (--limit 0 shows all)")
    return lines
