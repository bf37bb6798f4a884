"""`longshore inspect`: what an image is made of."""

import json
import sys
from typing import Annotated, Any

import typer

from longshore.cli import options
from longshore.cli.output import run, show, size
from longshore.client.content import Source
from longshore.client.image_config import IMAGE_CONFIGS, image_config, read_config
from longshore.client.locations import Images
from longshore.client.platforms import choose, has_platforms, host_platform
from longshore.oci.descriptor import Descriptor, Platform
from longshore.oci.manifest import Manifest


def command(
    reference: Annotated[
        str, typer.Argument(metavar="REFERENCE", help="HOST/NAME[:TAG][@DIGEST], or a local image.")
    ],
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the manifest's bytes as they are.")
    ] = False,
    config: Annotated[
        bool, typer.Option("--config", help="Print the image's configuration as it is.")
    ] = False,
    platform: options.Platforms = None,
    as_json: options.Json = False,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    plain_http: options.PlainHttp = False,
    trust_realm: options.TrustRealm = None,
) -> None:
    """Show an image's digest, platforms, layers and settings. Layers are not downloaded."""
    if raw and config:
        raise typer.BadParameter("--raw and --config contradict each other")
    place = options.location(reference)
    connection = options.connection(ca, insecure, plain_http, trust_realm)
    wanted = options.platforms(platform, False)
    if len(wanted) > 1:
        raise typer.BadParameter("one image is shown at a time: name one --platform")

    async def look() -> bytes | dict[str, Any]:
        async with Images(options.logins(), connection) as images:
            source = await images.source(place)
            found = await source.resolve()
            manifest = await source.manifest(found)
            selected = _platform(manifest, wanted, config)
            if selected and manifest.is_index:
                found = choose(manifest, selected)
                manifest = await source.manifest(found)
            if raw:
                return manifest.raw
            if config:
                return await read_config(source, manifest)
            return await _described(source, str(place), found, manifest)

    result = run(look)
    if isinstance(result, bytes):
        sys.stdout.buffer.write(result)
        if sys.stdout.isatty():
            print()
        return
    show(result, _text(result), as_json=as_json)


def _platform(manifest: Manifest, wanted: list[Platform], config: bool) -> Platform | None:
    if wanted:
        return wanted[0]
    return host_platform() if config and has_platforms(manifest) else None


async def _described(
    source: Source, reference: str, found: Descriptor, manifest: Manifest
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "reference": reference,
        "digest": found.digest,
        "mediaType": manifest.media_type,
        "size": manifest.size,
        "artifactType": None if _is_image(manifest) else manifest.artifact_type,
        "annotations": dict(manifest.annotations),
        "subject": manifest.subject.digest if manifest.subject else None,
    }
    if manifest.is_index:
        document["manifests"] = [child.to_json() for child in manifest.children]
        return document
    layers = [blob for blob in manifest.blobs if blob is not manifest.config]
    settings = await image_config(source, manifest)
    document |= {
        "layers": [layer.to_json() for layer in layers],
        "layersSize": sum(layer.size for layer in layers),
        "platform": str(Platform.from_json(settings)) or None,
        "created": settings.get("created"),
        "config": settings.get("config"),
    }
    return document


def _is_image(manifest: Manifest) -> bool:
    return manifest.artifact_type in IMAGE_CONFIGS


def _text(document: dict[str, Any]) -> str:
    lines = [
        f"{label + ':':<12} {document[key]}"
        for label, key in (
            ("Reference", "reference"),
            ("Digest", "digest"),
            ("Type", "mediaType"),
            ("Artifact", "artifactType"),
            ("Platform", "platform"),
            ("Created", "created"),
            ("Subject", "subject"),
        )
        if document.get(key)
    ]
    if "manifests" in document:
        lines.append(f"{'Images:':<12} {len(document['manifests'])}")
        for child in document["manifests"]:
            platform = Platform.from_json(child.get("platform") or {})
            lines.append(f"  {str(platform) or '-':<20} {child['digest']}  {size(child['size'])}")
    if "layers" in document:
        total = size(document["layersSize"])
        lines.append(f"{'Layers:':<12} {len(document['layers'])}, {total} compressed")
        lines += [f"  {layer['digest']}  {size(layer['size'])}" for layer in document["layers"]]
    lines += _settings(document.get("config") or {})
    lines += [f"  {key}={value}" for key, value in document["annotations"].items()]
    return "\n".join(_printable(line) for line in lines)


def _settings(config: dict[str, Any]) -> list[str]:
    shown = ("User", "WorkingDir", "Entrypoint", "Cmd", "ExposedPorts", "Env", "Labels")
    return [
        f"{key + ':':<12} {value if isinstance(value, str) else json.dumps(value)}"
        for key in shown
        if (value := config.get(key))
    ]


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in line)
