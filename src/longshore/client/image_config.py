"""The configuration of an image: which platform it is for, when it was made, its labels."""

import json
from contextlib import aclosing
from typing import Any, Final

from longshore.client.content import Source, verified
from longshore.client.errors import ContentInvalid, NoSuchImage
from longshore.client.wire import LARGEST_DOCUMENT
from longshore.oci import mediatypes
from longshore.oci.descriptor import Platform
from longshore.oci.manifest import Manifest

#: Media types of configurations that describe a container image.
IMAGE_CONFIGS: Final = frozenset({mediatypes.OCI_CONFIG, mediatypes.DOCKER_CONFIG})


async def read_config(source: Source, manifest: Manifest) -> bytes:
    """The bytes of a manifest's config, verified.

    Raises NoSuchImage for a manifest that has none, ContentInvalid for one too large to be one.
    """
    if manifest.config is None:
        raise NoSuchImage(f"a manifest of type {manifest.media_type} has no config")
    if manifest.config.size > LARGEST_DOCUMENT:
        raise ContentInvalid(
            f"config {manifest.config.digest} has {manifest.config.size} bytes; "
            f"configs of up to {LARGEST_DOCUMENT} are read"
        )
    pieces = verified(manifest.config, source.blob(manifest.config))
    async with aclosing(pieces):
        return b"".join([piece async for piece in pieces])


async def image_config(source: Source, manifest: Manifest) -> dict[str, Any]:
    """The configuration of a container image; empty for any other kind of artifact."""
    if manifest.config is None or manifest.config.media_type not in IMAGE_CONFIGS:
        return {}
    try:
        document = json.loads(await read_config(source, manifest))
    except (ValueError, RecursionError) as error:
        raise ContentInvalid(f"config {manifest.config.digest} is not valid JSON") from error
    return document if isinstance(document, dict) else {}


async def image_platform(source: Source, manifest: Manifest) -> Platform | None:
    """The platform a single image was built for, if it says so."""
    platform = Platform.from_json(await image_config(source, manifest))
    return platform if platform.os and platform.architecture else None
