"""`longshore copy`: from anywhere to anywhere."""

from dataclasses import replace
from typing import Annotated

import typer

from longshore.cli import options
from longshore.cli.transfer import Transfer
from longshore.client.connection import Connection
from longshore.client.locations import Kind, Location

_FORMS = "HOST/NAME[:TAG][@DIGEST], oci:DIR[:NAME], oci-archive:FILE, docker-archive:FILE, ./PATH."


def command(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=f"From: {_FORMS}")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="To: the same forms.")],
    platform: options.Platforms = None,
    all_platforms: options.AllPlatforms = False,
    referrers: options.Referrers = False,
    parallel: options.Parallel = 6,
    chunk_size: options.ChunkSize = None,
    as_json: options.Json = False,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    plain_http: options.PlainHttp = False,
    trust_realm: options.TrustRealm = None,
    source_insecure: Annotated[
        bool, typer.Option("--source-insecure", help="--insecure, for the source alone.")
    ] = False,
    source_plain_http: Annotated[
        bool, typer.Option("--source-plain-http", help="--plain-http, for the source alone.")
    ] = False,
    target_insecure: Annotated[
        bool, typer.Option("--target-insecure", help="--insecure, for the target alone.")
    ] = False,
    target_plain_http: Annotated[
        bool, typer.Option("--target-plain-http", help="--plain-http, for the target alone.")
    ] = False,
) -> None:
    """Copy an image as it is: every platform of it, with the same digest, unless told otherwise.

    Layers that are at the target already are not sent; inside one registry none is sent at all.
    """
    origin, place = options.location(source), options.location(target)
    connection = options.connection(ca, insecure, plain_http, trust_realm)
    exceptions = _exceptions(connection, origin, source_insecure, source_plain_http)
    exceptions |= _exceptions(connection, place, target_insecure, target_plain_http)
    if place.reference and place.reference.digest:
        raise typer.BadParameter(f"{target!r}: copy to a tag; the digest follows from the image")
    Transfer(
        origin,
        place,
        connection,
        options.platforms(platform, all_platforms),
        place.kind is Kind.DOCKER_ARCHIVE and not all_platforms,
        referrers,
        parallel,
        chunk_size,
        as_json,
        exceptions,
    ).run("copied to")


def _exceptions(
    connection: Connection, end: Location, insecure: bool, plain_http: bool
) -> dict[str, Connection]:
    """How one end of the copy is reached, if not as the other."""
    if end.reference is None or not (insecure or plain_http):
        return {}
    changed = replace(
        connection,
        insecure=connection.insecure or insecure,
        plain_http=connection.plain_http or plain_http,
    )
    return {end.reference.registry: changed}
