"""One repository of a registry: its manifests, tags, blobs and referrers."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

import anyio
import httpx

from longshore.client.content import (
    Advance,
    OpenBlob,
    Source,
    manifest_from,
    parse_manifest,
    verified,
)
from longshore.client.download import download
from longshore.client.errors import ContentInvalid, NotFound, ProtocolViolation, Refused
from longshore.client.paging import linked, pages
from longshore.client.platforms import describe
from longshore.client.referrers import index_of, of_type, referrer_entry, with_entry
from longshore.client.transport import Transport
from longshore.client.upload import Session, Upload
from longshore.client.wire import Ask
from longshore.oci import mediatypes
from longshore.oci.descriptor import Descriptor
from longshore.oci.digest import CANONICAL, Digest
from longshore.oci.errors import DigestInvalid, TagInvalid
from longshore.oci.manifest import Manifest
from longshore.oci.names import RepositoryName, Tag
from longshore.oci.reference import DEFAULT_TAG

#: Some registries convert or hide what is not named here.
ACCEPTED: Final = ", ".join(
    [
        mediatypes.OCI_INDEX,
        mediatypes.DOCKER_MANIFEST_LIST,
        mediatypes.OCI_MANIFEST,
        mediatypes.DOCKER_MANIFEST,
        mediatypes.OCI_ARTIFACT,
        "*/*",
    ]
)
_MISSING: Final = frozenset({404})


class Repository:
    """A repository as a source and as a target. `selected` is what `resolve` looks up."""

    def __init__(
        self,
        transport: Transport,
        name: RepositoryName,
        selected: Tag | Digest | None = None,
        *,
        chunk: int | None = None,
    ) -> None:
        self.name = name
        self.selected = selected or Tag(DEFAULT_TAG)
        self._transport = transport
        self._chunk = chunk
        self._pull = frozenset({f"repository:{name}:pull"})
        self._push = frozenset({f"repository:{name}:pull,push"})
        self._delete = frozenset({f"repository:{name}:delete"})
        self._sessions: dict[Digest, Session] = {}
        self._referrers_lock = anyio.Lock()

    def __str__(self) -> str:
        return f"{self._transport.registry}/{self.name}"

    @property
    def registry(self) -> str:
        """The registry's `host[:port]`."""
        return self._transport.registry

    # Manifests

    async def head(self, target: Tag | Digest) -> Descriptor | None:
        """What a tag or digest stands for, without fetching it; None when there is none."""
        ask = Ask("HEAD", self._manifest(target), _ACCEPT, scopes=self._pull, accept=_MISSING)
        reply = await self._transport.call(ask)
        if reply.status == httpx.codes.NOT_FOUND:
            return None
        try:
            digest = Digest(reply.headers.get("Docker-Content-Digest", ""))
        except DigestInvalid:
            return describe(await self.get(target))  # an old registry that does not say
        length = reply.headers.get("Content-Length", "")
        media_type = mediatypes.essence(reply.headers.get("Content-Type", ""))
        return Descriptor(media_type, digest, int(length) if length.isdigit() else 0)

    async def get(self, target: Tag | Digest) -> Manifest:
        """A manifest. Raises NotFound, and ContentInvalid when its digest is another."""
        ask = Ask("GET", self._manifest(target), _ACCEPT, scopes=self._pull)
        reply = await self._transport.call(ask)
        media_type = reply.headers.get("Content-Type", "")
        expected = target if isinstance(target, Digest) else _stated_digest(reply.headers)
        if expected is None:
            return parse_manifest(reply.body, media_type)
        return manifest_from(reply.body, Descriptor(media_type, expected, 0))

    async def put(self, manifest: Manifest, target: Tag | Digest) -> None:
        """Store a manifest under a tag or its digest, byte for byte."""
        headers = {"Content-Type": manifest.media_type}
        ask = Ask("PUT", self._manifest(target), headers, manifest.raw, self._push)
        reply = await self._transport.call(ask)
        stored = _stated_digest(reply.headers)
        if stored and stored != manifest.digest(stored.algorithm):
            raise ProtocolViolation(f"{self} stored manifest {manifest.digest()} as {stored}")
        if manifest.subject and "OCI-Subject" not in reply.headers:
            digest = target if isinstance(target, Digest) else manifest.digest()
            await self._write_fallback(manifest, digest)

    async def delete(self, target: Tag | Digest) -> None:
        """Remove a tag, or a manifest with every tag that points to it.

        Raises NotFound, and NotSupported where the registry does not delete.
        """
        ask = Ask("DELETE", self._manifest(target), scopes=self._delete)
        await self._transport.call(ask)

    # Tags

    async def tags(self) -> AsyncIterator[Tag]:
        """Every tag, in the registry's order. Raises NotFound for an unknown repository."""
        async for tag in pages(self._transport, f"/v2/{self.name}/tags/list", "tags", self._pull):
            try:
                yield Tag(tag)
            except TagInvalid as error:
                raise ProtocolViolation(f"{self} lists a tag that is none: {error}") from error

    # Referrers

    async def referrers(
        self, digest: Digest, artifact_type: str | None = None
    ) -> Sequence[Descriptor]:
        """The manifests whose subject this is: from the API, or else from the fallback tag."""
        query = {"artifactType": artifact_type} if artifact_type else {}
        url = httpx.URL(f"/v2/{self.name}/referrers/{digest}", params=query)
        ask = Ask("GET", url, {"Accept": mediatypes.OCI_INDEX}, scopes=self._pull, accept=_MISSING)
        entries: list[Descriptor] = []
        async for reply in linked(self._transport, ask):
            media_type = mediatypes.essence(reply.headers.get("Content-Type", ""))
            if reply.status == httpx.codes.NOT_FOUND or media_type != mediatypes.OCI_INDEX:
                entries = await self._fallback(digest)
                break
            entries += index_of(reply.body)
        return of_type(entries, artifact_type)

    async def _fallback(self, digest: Digest) -> list[Descriptor]:
        try:
            found = await self.get(Tag.for_referrers(digest))
        except NotFound:
            return []
        return list(found.children)

    async def _write_fallback(self, manifest: Manifest, digest: Digest) -> None:
        if manifest.subject is None:
            return
        entry = referrer_entry(manifest, Descriptor(manifest.media_type, digest, manifest.size))
        async with self._referrers_lock:  # of this client; the protocol knows no better one
            index = with_entry(await self._fallback(manifest.subject.digest), entry)
            if index is not None:
                tag = Tag.for_referrers(manifest.subject.digest)
                await self.put(parse_manifest(index, mediatypes.OCI_INDEX), tag)

    # Blobs

    async def has_blob(self, descriptor: Descriptor) -> bool:
        """Whether the blob is in this repository."""
        ask = Ask("HEAD", self._blob(descriptor), scopes=self._pull, accept=_MISSING)
        reply = await self._transport.call(ask)
        length = reply.headers.get("Content-Length", "")
        if reply.status == httpx.codes.NOT_FOUND:
            return False
        return not length.isdigit() or int(length) == descriptor.size

    def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """A blob's bytes from `offset` on; a broken connection is continued."""
        return download(self._transport, self._blob(descriptor), descriptor, self._pull, offset)

    async def put_blob(self, descriptor: Descriptor, content: OpenBlob, advance: Advance) -> None:
        """Upload a blob; a broken connection is continued from where the registry says."""

        def opened(offset: int) -> AsyncGenerator[bytes, None]:
            # What is continued was hashed only in part; the registry verifies the whole.
            return content(offset) if offset else verified(descriptor, content(0))

        upload = Upload(
            self._transport,
            self._uploads,
            descriptor,
            self._push,
            self._chunk,
            present=lambda: self.has_blob(descriptor),
        )
        await upload.run(opened, advance, self._sessions.pop(descriptor.digest, None))

    async def mount(self, descriptor: Descriptor, source: Source) -> bool:
        """Take a blob over from another repository of the same registry, if it lets us."""
        if not isinstance(source, Repository) or source.registry != self.registry:
            return False
        query = {"mount": descriptor.digest, "from": source.name}
        url = httpx.URL(self._uploads, params=query)
        try:
            reply = await self._transport.call(Ask("POST", url, scopes=self._push | source.pull))
        except Refused:
            return False  # not allowed there, or not for this login: upload it
        if reply.status == httpx.codes.CREATED:
            return True
        self._sessions[descriptor.digest] = Session.opened(self._transport, reply)
        return False

    async def delete_blob(self, digest: Digest) -> None:
        """Remove a blob from this repository. Raises NotFound and NotSupported."""
        url = f"/v2/{self.name}/blobs/{digest}"
        await self._transport.call(Ask("DELETE", url, scopes=self._delete))

    # As a source and a target

    async def resolve(self) -> Descriptor:
        """What `selected` stands for. Raises NotFound."""
        found = await self.head(self.selected)
        if found is None:
            found = describe(await self.get(self.selected))  # for the registry's own words
        return found

    async def manifest(self, descriptor: Descriptor) -> Manifest:
        """A manifest by digest, verified."""
        found = await self.get(descriptor.digest)
        if descriptor.size and found.size != descriptor.size:
            raise ContentInvalid(
                f"manifest {descriptor.digest} has {found.size} bytes, not {descriptor.size}"
            )
        return found

    async def has_manifest(self, descriptor: Descriptor) -> bool:
        """Whether it is here; a registry takes a manifest only with all it refers to."""
        return await self.head(descriptor.digest) is not None

    async def put_manifest(
        self, manifest: Manifest, descriptor: Descriptor, *, name: str | None, top: bool
    ) -> None:
        """Store a manifest under `name`, or by digest alone."""
        # A tag's digest is the registry's choice: only a push by digest keeps another algorithm.
        if name is None or descriptor.digest.algorithm != CANONICAL:
            await self.put(manifest, descriptor.digest)
        if name is not None:
            await self.put(manifest, Tag(name))

    @property
    def pull(self) -> frozenset[str]:
        """The scope that reading this repository needs."""
        return self._pull

    @property
    def _uploads(self) -> str:
        return f"/v2/{self.name}/blobs/uploads/"

    def _blob(self, descriptor: Descriptor) -> str:
        return f"/v2/{self.name}/blobs/{descriptor.digest}"

    def _manifest(self, target: Tag | Digest) -> str:
        return f"/v2/{self.name}/manifests/{target}"


_ACCEPT: Final = {"Accept": ACCEPTED}


def _stated_digest(headers: httpx.Headers) -> Digest | None:
    try:
        return Digest(headers.get("Docker-Content-Digest", ""))
    except DigestInvalid:
        return None
