"""RegistryClient: the door to one registry."""

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from longshore.client import device
from longshore.client.addresses import registry_name
from longshore.client.connection import Connection
from longshore.client.credentials import Anonymous, Credential, CredentialSource
from longshore.client.device import Code
from longshore.client.errors import ProtocolViolation
from longshore.client.paging import pages
from longshore.client.repository import Repository
from longshore.client.transport import Transport
from longshore.client.wire import Ask
from longshore.oci.digest import Digest
from longshore.oci.errors import NameInvalid
from longshore.oci.names import RepositoryName, Tag

_CATALOG = frozenset({"registry:catalog:*"})


class RegistryClient:
    """A client of one registry, `host[:port]`, used with `async with`; safe for many tasks.

    Nothing is sent before the first request. Raises LocationInvalid for what is not a host.
    """

    def __init__(
        self,
        registry: str,
        *,
        credentials: CredentialSource | None = None,
        connection: Connection | None = None,
    ) -> None:
        self.registry = registry_name(registry)
        self._transport = Transport(
            self.registry, credentials or Anonymous(), connection or Connection()
        )

    async def __aenter__(self) -> Self:
        await self._transport.wire.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.wire.close()

    async def ping(self) -> None:
        """Ask whether the registry is there and lets us in.

        Raises Unreachable, Unauthenticated, or NotFound for a host that is no registry.
        """
        await self._transport.call(Ask("GET", "/v2/"))

    async def login(self) -> str:
        """Prove the credentials; returns an identity token to keep in place of the password if
        the registry's token server gives one, otherwise an empty text. Raises Unauthenticated."""
        await self._transport.base()
        identity_token = await self._transport.authorization.identity_token()
        await self.ping()
        return identity_token

    async def login_by_device(self, provider: str, tell: Callable[[Code], None]) -> Credential:
        """Log in by a code that somebody types in at another device; what to keep. See
        :func:`longshore.client.device.log_in`."""
        return await device.log_in(self._transport, provider, tell)

    async def catalog(self) -> AsyncIterator[RepositoryName]:
        """The names of every repository that may be seen, in the registry's order.

        Raises NotSupported or NotFound where the registry offers no such list.
        """
        async for name in pages(self._transport, "/v2/_catalog", "repositories", _CATALOG):
            try:
                yield RepositoryName(name)
            except NameInvalid as error:
                raise ProtocolViolation(f"{self.registry} lists {error}") from error

    def repository(
        self,
        name: RepositoryName,
        selected: Tag | Digest | None = None,
        *,
        chunk: int | None = None,
    ) -> Repository:
        """One repository. `chunk` sends blobs in requests of at most so many bytes each."""
        return Repository(self._transport, name, selected, chunk=chunk)
