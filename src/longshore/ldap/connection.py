"""One connection to an LDAP server: RFC 4511 over anyio's streams.

sansldap makes bytes of messages and messages of bytes; what waits is here, so every wait ends when
the caller's deadline does, and looking a host's name up happens in a thread of the event loop.
"""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
import sansldap
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSStream
from sansldap import LDAPFilter

from longshore.ldap import diagnosis
from longshore.ldap.model import Address, DirectoryRefused, DirectoryUnavailable, Scope

_SCOPES: Final = {
    "base": sansldap.SearchScope.BASE,
    "onelevel": sansldap.SearchScope.ONE_LEVEL,
    "subtree": sansldap.SearchScope.SUBTREE,
}
#: A message or a whole answer beyond these is none that a directory of people gives.
_LONGEST_MESSAGE: Final = 4 * 1024 * 1024
_LONGEST_ANSWER: Final = 16 * 1024 * 1024
_SEQUENCE: Final = 0x30
#: UnbindRequest with the message id 127 (RFC 4511 section 4.3). sansldap 0.1 marks it as constructed,
#: which OpenLDAP takes for an error.
_UNBIND: Final = bytes.fromhex("3005 02017f 4200")

M = TypeVar("M", bound=sansldap.LDAPMessage)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a search found. Names of attributes are lower case."""

    dn: str
    attributes: dict[str, tuple[bytes, ...]]

    def value(self, name: str) -> bytes:
        """The first value; empty without any."""
        found = self.attributes.get(name.lower(), ())
        return found[0] if found else b""

    def text(self, name: str) -> str:
        """The first value as text; empty without any."""
        return self.value(name).decode(errors="replace")

    def texts(self, name: str) -> list[str]:
        """Every value as text."""
        return [value.decode(errors="replace") for value in self.attributes.get(name.lower(), ())]


@dataclass(frozen=True, slots=True)
class Bound:
    """The answer to a bind; ``sentence`` when it was refused."""

    code: int
    sentence: str = ""

    def __bool__(self) -> bool:
        return self.code == 0


class Connection:
    """Asks one thing after the other. Every method raises DirectoryUnavailable when the server ends
    the connection or sends what is no LDAP; none has a deadline of its own."""

    def __init__(self, stream: ByteStream, address: Address) -> None:
        self.address = address
        self.encrypted = address.tls
        self._ldap = sansldap.LDAPClient()
        self._use(stream)

    def _use(self, stream: ByteStream) -> None:
        self._stream = stream
        self._incoming = BufferedByteReceiveStream(stream)

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on encrypted. Raises DirectoryRefused when the server cannot."""
        self._ldap.extended_request(sansldap.ExtendedOperations.LDAP_START_TLS.value)
        answer = await self._answer(sansldap.ExtendedResponse)
        result = answer.result
        if result.result_code:
            raise DirectoryRefused(
                f"{self.address} does not do StartTLS: "
                f"{diagnosis.explain(result.result_code, result.diagnostics_message)}"
            )
        if self._incoming.buffer:
            # Said in the clear and read as if it had come encrypted, it could be anybody's.
            raise DirectoryUnavailable(f"{self.address} went on in the clear after StartTLS")
        self._use(await _encrypted(self._stream, self.address, context))
        self.encrypted = True

    async def bind(self, dn: str, password: str) -> Bound:
        """Log in. An empty password would be no login but succeed: ValueError."""
        if not dn or not password:
            raise ValueError("a bind without a name or a password proves nothing")
        self._ldap.bind_simple(dn, password)
        result = (await self._answer(sansldap.BindResponse)).result
        code = int(result.result_code)
        if code == 0:
            return Bound(0)
        sentence = diagnosis.explain(code, result.diagnostics_message)
        if code in diagnosis.UNAVAILABLE:
            raise DirectoryUnavailable(f"{self.address}: {sentence}")
        return Bound(code, sentence)

    async def search(
        self,
        base: str,
        scope: Scope,
        wanted: LDAPFilter | None,
        attributes: Sequence[str],
        *,
        limit: int,
        seconds: float = 0.0,
    ) -> list[Entry]:
        """At most ``limit`` entries; ``wanted`` None for any. Where else one might search (a
        referral) is passed over. Raises DirectoryRefused, as when there is no ``base``."""
        self._ldap.search_request(
            base,
            _SCOPES[scope],
            size_limit=limit,
            time_limit=max(1, int(seconds)) if seconds else 0,
            filter=wanted,
            attributes=list(attributes),
        )
        found: list[Entry] = []
        taken = 0
        while True:
            message, length = await self._receive()
            taken += length
            if taken > _LONGEST_ANSWER:
                raise DirectoryUnavailable(f"{self.address} answers without end")
            if isinstance(message, sansldap.SearchResultEntry):
                found.append(_entry(message))
            elif isinstance(message, sansldap.SearchResultDone):
                self._check(message, base)
                return found[:limit]

    def _check(self, done: sansldap.SearchResultDone, base: str) -> None:
        code = int(done.result.result_code)
        if code in (0, sansldap.LDAPResultCode.SIZE_LIMIT_EXCEEDED):
            return
        sentence = diagnosis.explain(code, done.result.diagnostics_message)
        if code in diagnosis.UNAVAILABLE:
            raise DirectoryUnavailable(f"{self.address}: {sentence}")
        raise DirectoryRefused(f"{self.address}, searching in {base!r}: {sentence}", code)

    async def leave(self) -> None:
        """Say good-bye, as far as the server listens."""
        await self._stream.send(_UNBIND)

    async def _answer(self, kind: type[M]) -> M:
        message, _ = await self._receive()
        if not isinstance(message, kind):
            raise DirectoryUnavailable(
                f"{self.address} answered {type(message).__name__} where {kind.__name__} is due"
            )
        return message

    async def _receive(self) -> tuple[sansldap.LDAPMessage, int]:
        """The next message and its length in bytes."""
        try:
            if waiting := self._ldap.data_to_send():
                await self._stream.send(waiting)
            data = await self._frame()
            messages = self._ldap.receive(data)
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError) as error:
            raise DirectoryUnavailable(f"{self.address} ended the connection") from error
        except (OSError, ssl.SSLError) as error:
            raise DirectoryUnavailable(f"{self.address}: {error}") from error
        except _NO_LDAP as error:
            raise DirectoryUnavailable(f"{self.address} does not speak LDAP: {error}") from error
        if len(messages) != 1:
            raise DirectoryUnavailable(f"{self.address} does not speak LDAP")
        return messages[0], len(data)

    async def _frame(self) -> bytes:
        """The bytes of one message (a BER sequence of definite length), never more."""
        head = await self._incoming.receive_exactly(2)
        length = head[1]
        if length & 0x80:
            more = (
                await self._incoming.receive_exactly(length & 0x7F) if length & 0x7F <= 8 else b""
            )
            head += more
            length = int.from_bytes(more) if more else _LONGEST_MESSAGE + 1
        if head[0] != _SEQUENCE or length > _LONGEST_MESSAGE:
            raise DirectoryUnavailable(
                f"{self.address} does not speak LDAP, or wants TLS: is the scheme of the URL right"
            )
        return head + await self._incoming.receive_exactly(length)


#: What sansldap raises for bytes that are no message.
_NO_LDAP: Final = (
    sansldap.LDAPError,
    sansldap.ProtocolError,
    ValueError,
    NotImplementedError,
    IndexError,
    KeyError,
    RecursionError,
)


@asynccontextmanager
async def connected(
    address: Address, context: ssl.SSLContext, *, start_tls: bool
) -> AsyncIterator[Connection]:
    """A connection, closed in the end without waiting for the server. Raises DirectoryUnavailable,
    or DirectoryRefused for a server without StartTLS."""
    try:
        stream: ByteStream = await anyio.connect_tcp(address.host, address.port)
    except OSError as error:
        raise DirectoryUnavailable(f"{address} cannot be reached: {_cause(error)}") from error
    try:
        if address.tls:
            stream = await _encrypted(stream, address, context)
        connection = Connection(stream, address)
        if start_tls and not address.tls:
            await connection.start_tls(context)
        yield connection
        with suppress(anyio.BrokenResourceError, OSError):
            await connection.leave()
    finally:
        await anyio.aclose_forcefully(stream)


def _cause(error: OSError) -> str:
    """anyio wraps what went wrong at each address of a host."""
    cause = error.__cause__
    if isinstance(cause, ExceptionGroup):
        return "; ".join(dict.fromkeys(str(one) for one in cause.exceptions))
    return str(cause or error)


def _entry(message: sansldap.SearchResultEntry) -> Entry:
    return Entry(
        message.object_name,
        {part.name.lower(): tuple(part.values) for part in message.attributes},
    )


async def _encrypted(stream: ByteStream, address: Address, context: ssl.SSLContext) -> TLSStream:
    try:
        return await TLSStream.wrap(
            stream, hostname=address.host, ssl_context=context, standard_compatible=False
        )
    except ssl.SSLCertVerificationError as error:
        raise DirectoryUnavailable(
            f"the certificate of {address} is not trusted: {error.verify_message}; set cafile to the "
            "authority that signed it, and use a name in the URL that the certificate has"
        ) from error
    except (ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError, OSError) as error:
        raise DirectoryUnavailable(
            f"{address} does not speak TLS: {str(error) or 'it hung up'}"
        ) from error
