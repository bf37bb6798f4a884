"""`longshore push`: from a file or directory to a registry."""

from typing import Annotated

import typer

from longshore.cli import options
from longshore.cli.transfer import Transfer


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:REFERENCE], or the "
            "path of a layout directory or an archive.",
        ),
    ],
    reference: Annotated[str, typer.Argument(metavar="REFERENCE", help="HOST/NAME[:TAG].")],
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
    """Send a local image to a registry: every platform of it, unless told otherwise."""
    target = options.reference(reference)
    if target.digest:
        raise typer.BadParameter(f"{reference!r}: push to a tag; the digest follows from the image")
    Transfer(
        options.location(source, local=True),
        options.location(reference),
        options.connection(ca, insecure, plain_http, trust_realm),
        options.platforms(platform, all_platforms),
        False,
        referrers,
        parallel,
        chunk_size,
        as_json,
    ).run("pushed")
