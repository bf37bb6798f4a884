"""`longshore why`: explain one case."""

import os
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from longshore.access.model import Action
from longshore.background import collection_options
from longshore.cli import options
from longshore.cli.metadata import Config, opened
from longshore.cli.output import show
from longshore.cli.people import people
from longshore.gc.explanation import explain
from longshore.identity import store
from longshore.identity.model import ANONYMOUS_USER
from longshore.identity.rights import verdict
from longshore.oci.digest import Digest
from longshore.oci.names import RepositoryName, namespace_of
from longshore.settings import load_configuration

app = typer.Typer(
    name="why",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Explain what the registry does, for one case.",
)


@app.callback()
def _group() -> None:
    """Explain what the registry does, for one case."""


@app.command()
def gc(
    digest: Annotated[str, typer.Argument(help="Of a blob or a manifest: sha256:...")],
    config: Config = None,
    as_json: options.Json = False,
) -> None:
    """Say why garbage collection keeps a blob or a manifest, or when it goes."""
    wanted = Digest(digest)
    configuration = load_configuration(config, os.environ)  # noqa: TID251 - handed to the loader
    settings = collection_options(configuration)
    with opened(config) as metadata:
        found = metadata.read(lambda connection: explain(connection, wanted, settings))
    show(asdict(found), "\n".join(found.lines), as_json=as_json)


class Doing(StrEnum):
    """What may be done to a repository."""

    PULL = Action.PULL.value
    PUSH = Action.PUSH.value
    DELETE = Action.DELETE.value


@app.command()
def deny(
    user: Annotated[str, typer.Argument(help="A user's name; anonymous: without a login.")],
    action: Annotated[Doing, typer.Argument(help="What they want to do.")],
    repository: Annotated[str, typer.Argument(help="To which repository.")],
    config: Config = None,
    as_json: options.Json = False,
) -> None:
    """Say why a user may or may not do something, in the words of the refusal (auth.longshore)."""
    wanted = RepositoryName(repository)
    name = "" if user == ANONYMOUS_USER else user
    ask = partial(store.standing, user=name, project=namespace_of(wanted))
    with people(config) as metadata:
        found = metadata.read(ask)
    allowed, sentence, behind = verdict(found, wanted, Action(action.value))
    document = {
        "user": user,
        "action": action.value,
        "repository": wanted,
        "project": found.project,
        "allowed": allowed,
        "reason": sentence,
        "behind": behind,
    }
    head = f"{'allowed' if allowed else 'denied'}: {sentence}"
    show(document, "\n".join(filter(None, (head, behind))), as_json=as_json)
