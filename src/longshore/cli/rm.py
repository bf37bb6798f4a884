"""`longshore rm`: remove a tag, or an image with all its tags."""

from typing import Annotated, Any

import anyio
import typer

from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.output import run, show
from longshore.client.errors import Refused
from longshore.client.locations import Images
from longshore.client.repository import Repository
from longshore.oci.digest import Digest
from longshore.oci.names import Tag

#: With more tags than this, finding out which of them go with an image costs too much.
_TAGS_LOOKED_AT = 200
_AT_ONCE = 8
#: How registries answer that know deletion by digest only.
_NO_UNTAGGING = frozenset({400, 405, 501})


def command(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="REFERENCE",
            help="HOST/NAME:TAG removes the tag; HOST/NAME@DIGEST the image and all its tags.",
        ),
    ],
    as_json: options.Json = False,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    plain_http: options.PlainHttp = False,
    trust_realm: options.TrustRealm = None,
) -> None:
    """Remove a tag, or an image by digest. What no image uses any more is freed by the
    registry's garbage collection."""
    there = options.reference(reference)
    if not (there.tag or there.digest):
        raise typer.BadParameter(f"{reference!r}: say what to remove, :TAG or @DIGEST")
    connection = options.connection(ca, insecure, plain_http, trust_realm)
    target = there.target

    async def remove() -> tuple[Digest, list[str]]:
        async with Images(options.logins(), connection) as images:
            client = await images.client(there.registry)
            repository = client.repository(there.repository, target)
            if isinstance(target, Digest):
                tags = await _tags_of(repository, target)
                await repository.delete(target)
                return target, tags
            return await _untag(repository, target), [target]

    digest, tags = run(remove)
    name = f"{there.registry}/{there.repository}"
    document: dict[str, Any] = {"repository": name, "digest": digest, "tags": tags}
    if isinstance(target, Digest):
        document["removed"] = "manifest"
        text = f"removed {name}@{digest}" + (f" and its tags {', '.join(tags)}" if tags else "")
    else:
        document["removed"] = "tag"
        text = f"removed the tag {name}:{target}; it was {digest}"
    show(document, text, as_json=as_json)


async def _untag(repository: Repository, tag: Tag) -> Digest:
    digest = (await repository.resolve()).digest
    try:
        await repository.delete(tag)
    except Refused as error:
        if error.status not in _NO_UNTAGGING:
            raise
        raise CommandFailed(
            f"{repository} does not remove single tags ({error.message}); "
            f"'longshore rm {repository}@{digest}' removes the image with all its tags, if the "
            "registry lets it be deleted"
        ) from error
    return digest


async def _tags_of(repository: Repository, digest: Digest) -> list[str]:
    """The tags that go with an image; none are looked for in a repository with very many."""
    tags: list[Tag] = []
    try:
        async for tag in repository.tags():
            tags.append(tag)
            if len(tags) > _TAGS_LOOKED_AT:
                return []
    except Refused:
        return []
    found: list[str] = []
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def look(tag: Tag) -> None:
        async with limit:
            head = await repository.head(tag)
            if head and head.digest == digest:
                found.append(tag)

    async with anyio.create_task_group() as group:
        for tag in tags:
            group.start_soon(look, tag)
    return sorted(found)
