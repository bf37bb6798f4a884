"""Options that several client commands share, as annotated types for their signatures."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from longshore.client.connection import Connection
from longshore.client.dockerconfig import LoginFiles
from longshore.client.errors import LocationInvalid
from longshore.client.locations import Location, parse_location
from longshore.config.quantities import parse_duration
from longshore.oci.descriptor import Platform
from longshore.oci.reference import Reference

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
Ca = Annotated[
    Path | None,
    typer.Option("--ca", metavar="FILE", help="Trust this authority's certificate (PEM) as well."),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Accept any certificate, and plain HTTP if there is no TLS."),
]
PlainHttp = Annotated[bool, typer.Option("--plain-http", help="Do not use TLS.")]
TrustRealm = Annotated[
    list[str] | None,
    typer.Option(
        "--trust-realm",
        metavar="HOST",
        help="A token server outside the registry's domain that may be given its login.",
    ),
]
Platforms = Annotated[
    list[str] | None,
    typer.Option(
        "--platform", metavar="OS/ARCH[/VARIANT]", help="Only this platform; may be repeated."
    ),
]
AllPlatforms = Annotated[bool, typer.Option("--all-platforms", help="Every platform of the image.")]
Referrers = Annotated[
    bool,
    typer.Option(
        "--referrers", help="Signatures, SBOMs and whatever else refers to the image, too."
    ),
]
Parallel = Annotated[
    int, typer.Option("--parallel", min=1, max=64, help="Layers on their way at the same time.")
]
ChunkSize = Annotated[
    int | None,
    typer.Option(
        "--chunk-size",
        metavar="MIB",
        min=1,
        help="Upload in requests of at most this size, for proxies that limit it.",
    ),
]


def connection(
    ca: Path | None, insecure: bool, plain_http: bool, trust_realm: Sequence[str] | None
) -> Connection:
    """How to connect, from a command's options."""
    if insecure and ca:
        raise typer.BadParameter("--insecure and --ca contradict each other")
    trusted = frozenset(trust_realm or ())
    return Connection(ca=ca, insecure=insecure, plain_http=plain_http, trusted_realms=trusted)


def logins() -> LoginFiles:
    """The logins of whoever runs the command."""
    # Docker's variables (DOCKER_CONFIG, HOME ...) belong to the client, not to config.yml.
    return LoginFiles(os.environ)  # noqa: TID251


def location(text: str, *, local: bool = False) -> Location:
    """A location argument; a malformed one is a usage error."""
    try:
        return parse_location(text, local=local)
    except LocationInvalid as error:
        raise typer.BadParameter(error.message) from error


def reference(text: str) -> Reference:
    """An argument that must be a reference to a registry."""
    found = location(text)
    if found.reference is None:
        raise typer.BadParameter(f"{text!r} is local: a registry's reference is expected here")
    return found.reference


def duration(text: str) -> float:
    """Seconds, of an argument such as ``168h``."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def platforms(wanted: Sequence[str] | None, all_platforms: bool) -> list[Platform]:
    """The platforms asked for; none stands for all of them."""
    if wanted and all_platforms:
        raise typer.BadParameter("--platform and --all-platforms contradict each other")
    try:
        return [Platform.parse(text) for text in wanted or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
