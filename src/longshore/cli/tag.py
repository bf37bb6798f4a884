"""`longshore tag`: one more name for an image, without moving it."""

from typing import Annotated

import typer

from longshore.cli import options
from longshore.cli.output import run, show
from longshore.client.locations import Images
from longshore.oci.digest import Digest
from longshore.oci.errors import TagInvalid
from longshore.oci.names import Tag


def command(
    reference: Annotated[
        str, typer.Argument(metavar="REFERENCE", help="The image: HOST/NAME[:TAG][@DIGEST].")
    ],
    new_tags: Annotated[
        list[str], typer.Argument(metavar="NEWTAG...", help="What to call it as well.")
    ],
    as_json: options.Json = False,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    plain_http: options.PlainHttp = False,
    trust_realm: options.TrustRealm = None,
) -> None:
    """Give an image in a registry more tags. A tag that exists is moved. No layer is sent."""
    there = options.reference(reference)
    try:
        tags = [Tag(text) for text in new_tags]
    except TagInvalid as error:
        raise typer.BadParameter(error.message) from error
    connection = options.connection(ca, insecure, plain_http, trust_realm)

    async def put() -> Digest:
        async with Images(options.logins(), connection) as images:
            client = await images.client(there.registry)
            repository = client.repository(there.repository)
            manifest = await repository.get(there.target)
            for tag in tags:
                await repository.put(manifest, tag)
            if isinstance(there.target, Digest):
                return there.target
            return manifest.digest()

    digest = run(put)
    name = f"{there.registry}/{there.repository}"
    lines = [f"{name}:{tag} is {digest}" for tag in tags]
    document = {"repository": name, "digest": digest, "tags": tags}
    show(document, "\n".join(lines), as_json=as_json)
