"""Storage as distribution would have left it, made by hand: any driver, any breakage."""

from collections.abc import Sequence
from dataclasses import dataclass

from longshore.oci.digest import Digest
from longshore.storage import layout
from longshore.storage.driver import LocalFiles, StorageDriver
from longshore.testing.builders import Content, Image


@dataclass
class Legacy:
    """What a registry does when it takes a push, as far as storage sees it."""

    driver: StorageDriver

    async def push(self, name: str, image: Image, *tags: str) -> Digest:
        """An image with its blobs, under tags."""
        for blob in image.blobs:
            await self.blob(name, blob)
        return await self.manifest(name, image.manifest, *tags)

    async def blob(self, name: str, blob: Content) -> None:
        await self.store(blob)
        await self.link(layout.layer_link(name, blob.digest), blob.digest)

    async def manifest(self, name: str, manifest: Content, *tags: str) -> Digest:
        await self.store(manifest)
        await self.link(layout.revision_link(name, manifest.digest), manifest.digest)
        await self.tag(name, manifest.digest, tags)
        return manifest.digest

    async def tag(self, name: str, digest: Digest, tags: Sequence[str]) -> None:
        for tag in tags:
            await self.link(layout.tag_index_link(name, tag, digest), digest)
            await self.link(layout.tag_link(name, tag), digest)

    async def store(self, content: Content) -> None:
        await self._write(layout.blob(content.digest), content.data)

    async def link(self, path: str, content: str) -> None:
        await self._write(path, content.encode())

    async def _write(self, path: str, content: bytes) -> None:
        if not isinstance(self.driver, LocalFiles):
            await self.driver.write(path, content)
            return
        file = self.driver.local_path(path)  # what a driver makes durable takes its time
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
