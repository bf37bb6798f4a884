"""`longshore digest`: what a reference stands for, now."""

from typing import Annotated

import typer

from longshore.cli import options
from longshore.cli.output import run, show
from longshore.client.locations import Images
from longshore.client.platforms import choose
from longshore.oci.descriptor import Descriptor


def command(
    reference: Annotated[
        str, typer.Argument(metavar="REFERENCE", help="HOST/NAME[:TAG], or a local image.")
    ],
    platform: options.Platforms = None,
    as_json: options.Json = False,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    plain_http: options.PlainHttp = False,
    trust_realm: options.TrustRealm = None,
) -> None:
    """Print the digest of an image: of the whole, or of the image for one platform."""
    place = options.location(reference)
    connection = options.connection(ca, insecure, plain_http, trust_realm)
    wanted = options.platforms(platform, False)
    if len(wanted) > 1:
        raise typer.BadParameter("one --platform has one digest: name only one")

    async def resolve() -> Descriptor:
        async with Images(options.logins(), connection) as images:
            source = await images.source(place)
            found = await source.resolve()
            if wanted:
                manifest = await source.manifest(found)
                return choose(manifest, wanted[0]) if manifest.is_index else found
            return found

    found = run(resolve)
    document = {"reference": str(place), "digest": found.digest, "mediaType": found.media_type}
    show(document, found.digest, as_json=as_json)
