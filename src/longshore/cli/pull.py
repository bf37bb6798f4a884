"""`longshore pull`: from a registry to a directory or an archive."""

from typing import Annotated

import typer

from longshore.cli import options
from longshore.cli.transfer import Transfer
from longshore.client.locations import Kind


def command(
    reference: Annotated[
        str, typer.Argument(metavar="REFERENCE", help="HOST/NAME[:TAG][@DIGEST].")
    ],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[TARGET]",
            help="A directory (or oci:DIR[:NAME]), or an archive for docker load (FILE.tar, "
            "docker-archive:FILE, oci-archive:FILE). Default: a directory named after the image.",
        ),
    ] = None,
    platform: options.Platforms = None,
    all_platforms: options.AllPlatforms = False,
    referrers: options.Referrers = False,
    parallel: options.Parallel = 6,
    as_json: options.Json = False,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    plain_http: options.PlainHttp = False,
    trust_realm: options.TrustRealm = None,
) -> None:
    """Fetch an image: for this machine's platform, unless told otherwise.

    A pull that was interrupted goes on where it ended when it is repeated.
    """
    source = options.reference(reference)
    place = options.location(target or source.repository.rpartition("/")[2], local=True)
    if place.kind is Kind.REGISTRY:
        raise typer.BadParameter("the target is a registry: use 'longshore copy'")
    Transfer(
        options.location(reference),
        place,
        options.connection(ca, insecure, plain_http, trust_realm),
        options.platforms(platform, all_platforms),
        not all_platforms,
        referrers,
        parallel,
        None,
        as_json,
    ).run("pulled to")
