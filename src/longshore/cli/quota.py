"""`longshore quota`: how much projects may hold, and what they hold."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Final

import typer

from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.metadata import Config, Metadata
from longshore.cli.output import run, show, table
from longshore.cli.people import people_configured
from longshore.config.quantities import parse_size
from longshore.quotas import checking, install, store
from longshore.quotas.model import (
    UNLIMITED,
    Difference,
    Limit,
    Quota,
    QuotaError,
    Resource,
    checked_limit,
)
from longshore.quotas.settings import QuotasSettings
from longshore.telemetry import clock

app = typer.Typer(
    name="quota",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="See and change how much projects may hold.",
)

_Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")]
_Limit = Annotated[
    str | None,
    typer.Option(metavar="LIMIT", help="A number; -1: no limit; default: the configuration's."),
]
_Bytes = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Such as 10GiB; -1: no limit; default: the configuration's."),
]
_COLUMNS: Final = ("PROJECT", "STORAGE", "LIMIT", "REPOSITORIES", "LIMIT", "TAGS", "LIMIT")


@app.command(name="list")
def list_command(config: Config = None, as_json: options.Json = False) -> None:
    """List every project's limits and what is used of them."""
    with people_configured(config) as (configuration, metadata):
        settings = configuration[QuotasSettings]
        defaults = metadata.read(partial(install.defaults, settings=settings))
        found = metadata.read(partial(store.list_quotas, defaults=defaults))
    rows = [(quota.project, *_cells(quota)) for quota in found]
    show([_document(quota) for quota in found], table(_COLUMNS, rows), as_json=as_json)


@app.command(name="show")
def show_command(project: _Project, config: Config = None, as_json: options.Json = False) -> None:
    """Show one project's limits, what is used of them, and its largest repositories."""
    with people_configured(config) as (configuration, metadata):
        settings = configuration[QuotasSettings]
        defaults = metadata.read(partial(install.defaults, settings=settings))
        found = _known(metadata, partial(store.find_quota, defaults=defaults, project=project))
        largest = metadata.read(partial(store.largest, project=project, limit=10))
    rows = [
        (
            str(resource),
            resource.shown(_used(found, resource)),
            _limit(resource, limit.hard),
            _limit(resource, limit.soft),
        )
        for resource, limit in found.limits.items()
    ]
    parts = [table(("RESOURCE", "USED", "LIMIT", "WARNED FROM"), rows)]
    if found.usage.reserved:
        parts.append(
            f"\nUploads under way: {Resource.STORAGE.shown(found.usage.reserved)}, which count, too"
        )
    if largest:
        cells = [(name, Resource.STORAGE.shown(size)) for name, size in largest]
        parts.append("\n" + table(("LARGEST REPOSITORIES", "SIZE"), cells))
    document = {**_document(found), "largest": [list(entry) for entry in largest]}
    show(document, "\n".join(parts), as_json=as_json)


@app.command(name="set")
def set_command(
    project: _Project,
    storage: _Bytes = None,
    storage_soft: _Bytes = None,
    repositories: _Limit = None,
    repositories_soft: _Limit = None,
    tags: _Limit = None,
    tags_soft: _Limit = None,
    config: Config = None,
) -> None:
    """Set limits of a project; `default` takes one back. What is there stays, also beyond a limit."""
    hard = {Resource.STORAGE: storage, Resource.REPOSITORIES: repositories, Resource.TAGS: tags}
    soft = {
        Resource.STORAGE: storage_soft,
        Resource.REPOSITORIES: repositories_soft,
        Resource.TAGS: tags_soft,
    }
    change = partial(
        store.set_limits, now=clock.timestamp(), project=project, hard=_read(hard), soft=_read(soft)
    )
    with people_configured(config) as (configuration, metadata):
        try:
            metadata.change(
                change, "update", "quota", project, project=project, description=_typed(hard, soft)
            )
        except QuotaError as error:
            raise CommandFailed(str(error)) from error
        settings = configuration[QuotasSettings]
        defaults = metadata.read(partial(install.defaults, settings=settings))
        found = metadata.read(partial(store.find_quota, defaults=defaults, project=project))
    typer.echo(table(_COLUMNS, [(found.project, *_cells(found))]))


@app.command()
def check(
    config: Config = None,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Count anew what is wrong.")] = False,
    as_json: options.Json = False,
) -> None:
    """Compare the totals with what the rows say; exit code 1 if they differ and are left so."""
    with people_configured(config) as (_, metadata):
        work = checking.fix if fix else checking.check
        found = run(partial(work, metadata.database))
    text = "the totals are what the rows say"
    if found:
        columns = ("PROJECT", "KEPT", "COUNTED")
        text = table(columns, [_difference(one) for one in found])
    show([_difference_document(one) for one in found], text, as_json=as_json)
    if found and not fix:
        raise typer.Exit(1)


def _known(metadata: Metadata, work: Any) -> Quota:
    try:
        found: Quota = metadata.read(work)
    except QuotaError as error:
        raise CommandFailed(str(error)) from error
    return found


def _typed(hard: Mapping[Resource, str | None], soft: Mapping[Resource, str | None]) -> str:
    """What was typed, for the audit log."""
    kinds = (("", hard), (" (soft)", soft))
    return ", ".join(
        f"{resource}{kind} {value}"
        for kind, limits in kinds
        for resource, value in limits.items()
        if value is not None
    )


def _read(limits: Mapping[Resource, str | None]) -> dict[Resource, int | None]:
    """What was typed. Raises CommandFailed."""
    found: dict[Resource, int | None] = {}
    for resource, typed in limits.items():
        if typed is None:
            continue
        if typed == "default":
            found[resource] = None
            continue
        try:
            is_size = resource is Resource.STORAGE and typed != "-1"
            found[resource] = checked_limit(resource, parse_size(typed) if is_size else int(typed))
        except (ValueError, QuotaError) as error:
            raise CommandFailed(f"{typed!r} is no limit of {resource}: {error}") from error
    return found


def _used(quota: Quota, resource: Resource) -> int:
    return quota.usage.storage if resource is Resource.STORAGE else quota.usage.of(resource)


def _limit(resource: Resource, limit: int) -> str:
    return "none" if limit == UNLIMITED else resource.shown(limit)


def _cells(quota: Quota) -> list[str]:
    cells: list[str] = []
    for resource, limit in quota.limits.items():
        cells += [resource.shown(_used(quota, resource)), _limit(resource, limit.hard)]
    return cells


def _document(quota: Quota) -> dict[str, Any]:
    def limit(found: Limit) -> dict[str, int]:
        return {"hard": found.hard, "soft": found.soft}

    return {
        "project": quota.project,
        "reserved": quota.usage.reserved,
        **{
            str(resource): {"used": _used(quota, resource), **limit(found)}
            for resource, found in quota.limits.items()
        },
    }


def _difference(found: Difference) -> tuple[str, str, str]:
    return found.project, _totals(found.kept), _totals(found.counted)


def _totals(usage: Any) -> str:
    return (
        f"{usage.storage} B, {usage.reserved} B reserved, {usage.repositories} repositories, "
        f"{usage.tags} tags"
    )


def _difference_document(found: Difference) -> dict[str, Any]:
    def totals(usage: Any) -> dict[str, int]:
        return {
            name: getattr(usage, name) for name in ("storage", "reserved", "repositories", "tags")
        }

    return {"project": found.project, "kept": totals(found.kept), "counted": totals(found.counted)}
