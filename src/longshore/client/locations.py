"""Images by the names people give them, opened as sources and targets.

registry.example/team/app:1.4      a registry (also docker://registry.example/team/app:1.4)
oci:DIRECTORY[:NAME]               an image layout directory
oci-archive:FILE[:NAME]            an image layout in a tar file
docker-archive:FILE[:REFERENCE]    what `docker save` writes and `docker load` reads
./path, /path, ../path             a local one: a directory or a file, looked into
"""

import enum
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from longshore.client.archive_writer import ArchiveTarget
from longshore.client.connection import Connection
from longshore.client.content import Source, Target
from longshore.client.credentials import CredentialSource
from longshore.client.docker_save import CONTENTS, DockerSaveSource
from longshore.client.errors import ContentInvalid, LocationInvalid
from longshore.client.layout import OciLayout
from longshore.client.layout_source import INDEX, MARKER, LayoutSource
from longshore.client.registry import RegistryClient
from longshore.client.tar_files import TarFiles
from longshore.oci.digest import Digest
from longshore.oci.errors import RegistryError
from longshore.oci.reference import Reference


class Kind(enum.Enum):
    """Where an image can be."""

    REGISTRY = "docker"
    LAYOUT = "oci"
    LAYOUT_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"


#: What a file that is still to be written is called when it is to be an archive.
_ARCHIVE: Final = ".tar"
_PREFIXES: Final = {f"{kind.value}:": kind for kind in Kind}


@dataclass(frozen=True)
class Location:
    """A parsed location. `reference` belongs to registries; `path` and `name` to the others."""

    kind: Kind
    text: str
    reference: Reference | None = None
    path: Path = Path()
    name: str | Digest | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is a directory or a file."""
        return self.kind is not Kind.REGISTRY

    def __str__(self) -> str:
        return self.text


def parse_location(text: str, *, local: bool = False) -> Location:
    """What a location means; with `local`, a bare word is a path rather than a reference.

    Looks at the file system, to tell directories from files; so it blocks. Raises
    LocationInvalid.
    """
    for prefix, kind in _PREFIXES.items():
        if text.startswith(prefix):
            rest = text.removeprefix(prefix)
            return _remote(rest) if kind is Kind.REGISTRY else _local(text, rest, kind)
    if local or text.startswith(("/", "./", "../", "~/")) or text in (".", ".."):
        return _local(text, text, None)
    return _remote(text)


def _remote(text: str) -> Location:
    try:
        reference = Reference.parse(text.removeprefix("//"))
    except RegistryError as error:
        raise LocationInvalid(error.message) from error
    return Location(Kind.REGISTRY, str(reference), reference)


def _local(text: str, rest: str, kind: Kind | None) -> Location:
    if not rest or rest.startswith((":", "@")) or "\0" in rest:
        raise LocationInvalid(f"{text!r} names no directory or file")
    path, name = _path_and_name(rest)
    return Location(kind or _sniffed(path), text, path=path, name=name)


def _path_and_name(text: str) -> tuple[Path, str | Digest | None]:
    """A path may hold colons; it is taken whole if there is such a file."""
    whole = Path(text).expanduser()
    if whole.exists():
        return whole, None
    before, at, digest = text.rpartition("@")
    if at and digest.startswith(("sha256:", "sha512:")):
        try:
            return Path(before).expanduser(), Digest(digest)
        except RegistryError as error:
            raise LocationInvalid(error.message) from error
    # The name may be a reference with a host and port: its path is what exists, or else all
    # before the first colon.
    parts = text.split(":")
    for end in range(len(parts) - 1, 0, -1):
        path = Path(":".join(parts[:end])).expanduser()
        if path.exists():
            return path, ":".join(parts[end:]) or None
    return Path(parts[0]).expanduser(), ":".join(parts[1:]) or None


def _sniffed(path: Path) -> Kind:
    if path.is_dir():
        return Kind.LAYOUT
    if path.is_file() or path.suffix == _ARCHIVE:
        return Kind.DOCKER_ARCHIVE
    return Kind.LAYOUT


class Images:
    """Opens locations; what it opens is closed with its `async with` block.

    `exceptions` are registries by `host[:port]` that are reached in another way than `connection`.

    An archive that is written appears when the block ends without an error.
    """

    def __init__(
        self,
        credentials: CredentialSource,
        connection: Connection,
        exceptions: Mapping[str, Connection] | None = None,
    ) -> None:
        self._credentials = credentials
        self._connection = connection
        self._exceptions = exceptions or {}
        self._clients: dict[str, RegistryClient] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    async def client(self, registry: str) -> RegistryClient:
        """The client of a registry, one per registry."""
        if registry not in self._clients:
            connection = self._exceptions.get(registry, self._connection)
            client = RegistryClient(registry, credentials=self._credentials, connection=connection)
            self._clients[registry] = await self._stack.enter_async_context(client)
        return self._clients[registry]

    async def source(self, location: Location) -> Source:
        """Where an image comes from. Raises LocationInvalid when there is nothing to read."""
        if location.reference:
            client = await self.client(location.reference.registry)
            return client.repository(location.reference.repository, location.reference.target)
        if location.kind is Kind.LAYOUT:
            return OciLayout(location.path, location.name)
        archive = await self._stack.enter_async_context(TarFiles(location.path))
        if await archive.size(MARKER) is not None and await archive.size(INDEX) is not None:
            return LayoutSource(archive, str(location.path), location.name)
        if await archive.size(CONTENTS) is not None:
            name = str(location.name) if location.name else None
            return await self._stack.enter_async_context(DockerSaveSource(archive, name))
        raise ContentInvalid(
            f"{location.path} holds no image: there is neither {INDEX} nor {CONTENTS} in it"
        )

    async def target(
        self, location: Location, chunk: int | None = None, *, called: Reference | None = None
    ) -> Target:
        """Where an image goes. `called` is the reference an archive keeps as docker's name."""
        if location.reference:
            client = await self.client(location.reference.registry)
            return client.repository(location.reference.repository, chunk=chunk)
        if location.kind is Kind.LAYOUT:
            return OciLayout(location.path)
        repository = f"{called.registry}/{called.repository}" if called else None
        return await self._stack.enter_async_context(ArchiveTarget(location.path, repository))
