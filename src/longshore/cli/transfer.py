"""What push, pull and copy have in common: one copy, with bars, and a report of what it did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import typer

from longshore.cli.options import logins
from longshore.cli.output import run, show, size
from longshore.cli.progress import progress_bars
from longshore.client.connection import Connection
from longshore.client.copying import Copied, CopyOptions, copy
from longshore.client.locations import Images, Kind, Location
from longshore.client.platforms import host_platform
from longshore.oci.descriptor import Platform
from longshore.oci.digest import Digest
from longshore.oci.reference import DEFAULT_TAG, Reference

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Transfer:
    """A copy that a command asks for; no `platforms` means all of them."""

    source: Location
    target: Location
    connection: Connection
    platforms: Sequence[Platform] = ()
    #: Of an index take the image for this machine, unless `platforms` says otherwise.
    for_this_machine: bool = False
    referrers: bool = False
    parallel: int = 6
    chunk_size: int | None = None
    as_json: bool = False
    #: Registries that are reached in another way than `connection`.
    exceptions: Mapping[str, Connection] = field(default_factory=dict)

    def run(self, done: str) -> None:
        """Do it and say what was done; `done` is the verb for people."""
        result = run(self._copy)
        show(self._document(result), self._text(result, done), as_json=self.as_json)

    async def _copy(self) -> Copied:
        async with Images(logins(), self.connection, self.exceptions) as images:
            source = await images.source(self.source)
            chunk = self.chunk_size * _MIB if self.chunk_size else None
            target = await images.target(self.target, chunk, called=self._called())
            with progress_bars(quiet=self.as_json) as watch:
                options = CopyOptions(
                    self.platforms,
                    host_platform() if self.for_this_machine else None,
                    self.referrers,
                    self.parallel,
                    watch,
                )
                return await copy(source, target, self.name, options)

    @property
    def name(self) -> str | None:
        """What the image is called at the target: what was asked for, or what it is called now."""
        if self.target.reference:
            tag = self.target.reference.tag
            return str(tag or self._source_tag() or DEFAULT_TAG)
        if isinstance(self.target.name, Digest):
            raise typer.BadParameter(
                f"{self.target}: the digest of a target is not yours to choose"
            )
        if self.target.name and self.target.kind is Kind.DOCKER_ARCHIVE:
            return str(Reference.parse(self.target.name).tag or DEFAULT_TAG)
        return self.target.name or self._source_tag()

    def _source_tag(self) -> str | None:
        reference = self.source.reference
        if reference is None or (reference.digest and not reference.tag):
            return None
        return str(reference.tag or DEFAULT_TAG)

    def _called(self) -> Reference | None:
        if self.target.kind is Kind.DOCKER_ARCHIVE and isinstance(self.target.name, str):
            return Reference.parse(self.target.name)
        return self.source.reference

    def _document(self, result: Copied) -> dict[str, Any]:
        return {
            "source": str(self.source),
            "target": str(self.target),
            "name": self.name,
            "digest": result.descriptor.digest,
            "mediaType": result.descriptor.media_type,
            "manifests": result.manifests,
            "referrers": result.referrers,
            "blobs": {
                "copied": result.blobs_copied,
                "mounted": result.blobs_mounted,
                "present": result.blobs_present,
            },
            "bytes": result.bytes_copied,
        }

    def _text(self, result: Copied, done: str) -> str:
        blobs = [f"{result.blobs_copied} blobs copied ({size(result.bytes_copied)})"]
        if result.blobs_mounted:
            blobs.append(f"{result.blobs_mounted} mounted")
        if result.blobs_present:
            blobs.append(f"{result.blobs_present} already there")
        if result.referrers:
            blobs.append(f"{result.referrers} referrers")
        where = str(self.target)
        if self.target.reference and not self.target.reference.tag:
            where = f"{where}:{self.name}"
        return f"{done} {where}\ndigest: {result.descriptor.digest}\n{', '.join(blobs)}"
