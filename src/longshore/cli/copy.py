"""`longshore copy`: from anywhere to anywhere."""

from typing import Annotated

import typer

from longshore.cli import options
from longshore.cli.transfer import Transfer
from longshore.client.locations import Kind

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
) -> None:
    """Copy an image as it is: every platform of it, with the same digest, unless told otherwise.

    Layers that are at the target already are not sent; inside one registry none is sent at all.
    """
    place = options.location(target)
    if place.reference and place.reference.digest:
        raise typer.BadParameter(f"{target!r}: copy to a tag; the digest follows from the image")
    Transfer(
        options.location(source),
        place,
        options.connection(ca, insecure, plain_http, trust_realm),
        options.platforms(platform, all_platforms),
        place.kind is Kind.DOCKER_ARCHIVE and not all_platforms,
        referrers,
        parallel,
        chunk_size,
        as_json,
    ).run("copied to")
