"""`longshore logout`: forget a login."""

from typing import Annotated

import typer

from longshore.cli import options
from longshore.cli.output import run, show
from longshore.client.addresses import registry_name
from longshore.client.errors import LocationInvalid
from longshore.oci.reference import DOCKER_HUB


def command(
    server: Annotated[
        str, typer.Argument(metavar="[SERVER]", help="HOST[:PORT] of the registry.")
    ] = DOCKER_HUB,
    as_json: options.Json = False,
) -> None:
    """Forget the login of a registry, in the credential helper or file that holds it."""
    try:
        registry = registry_name(server)
    except LocationInvalid as error:
        raise typer.BadParameter(error.message) from error
    known = run(lambda: options.logins().erase(registry))
    text = f"Removed the login for {registry}" if known else f"Not logged in to {registry}"
    show({"registry": registry, "removed": known}, text, as_json=as_json)
