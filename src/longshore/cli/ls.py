"""`longshore ls`: the repositories of a registry, or the tags of a repository."""

from typing import Annotated

import typer

from longshore.cli import options
from longshore.cli.output import run, show
from longshore.client.addresses import looks_like_registry, registry_name
from longshore.client.locations import Images


def command(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[REGISTRY|REPOSITORY]",
            help="HOST[:PORT] lists repositories, HOST/NAME lists tags.",
        ),
    ] = "localhost:5000",
    as_json: options.Json = False,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    plain_http: options.PlainHttp = False,
    trust_realm: options.TrustRealm = None,
) -> None:
    """List the repositories of a registry, or the tags of one repository."""
    connection = options.connection(ca, insecure, plain_http, trust_realm)
    if looks_like_registry(what.rstrip("/")):
        registry = registry_name(what)

        async def repositories() -> list[str]:
            async with Images(options.logins(), connection) as images:
                client = await images.client(registry)
                return [name async for name in client.catalog()]

        names = run(repositories)
        document: dict[str, object] = {"registry": registry, "repositories": names}
    else:
        there = options.reference(what)
        if there.tag or there.digest:
            raise typer.BadParameter(
                f"{what!r} names one image: list its repository, without a tag"
            )

        async def tags() -> list[str]:
            async with Images(options.logins(), connection) as images:
                client = await images.client(there.registry)
                return [tag async for tag in client.repository(there.repository).tags()]

        names = run(tags)
        document = {"registry": there.registry, "repository": there.repository, "tags": names}
    if names or as_json:
        show(document, "\n".join(names), as_json=as_json)
