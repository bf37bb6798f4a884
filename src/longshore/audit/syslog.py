"""Rows as syslog messages (RFC 5424), over UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425).

Syslog has no answers. Over TCP and TLS each batch has a connection of its own: the sender ends its half of it
behind the last message, and only when the receiver has ended the other half in turn has it read all of them. A
receiver that was killed before it read them resets the connection, which is a failure. Over UDP nobody can tell.
"""

import asyncio
import json
import re
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal

from longshore.audit.model import Row

_NOTICE, _WARNING = 5, 4
_APPLICATION: Final = "longshore"
#: RFC 5424 section 7.3.1: sequenceId is at most that, and goes on with 1.
_LARGEST_SEQUENCE: Final = 2**31 - 1
_UNPRINTABLE: Final = re.compile(r"[^!-~]")
#: Seconds between two datagrams: receivers drop what they cannot take in.
_PACE: Final = 0.001
_SKIPPED: Final = 4096

Transport = Literal["udp", "tcp", "tls"]
Framing = Literal["octets", "newline"]


def message(row: Row, host: str, facility: int) -> bytes:
    """One message: what is exported as JSON, with the row's id as ``sequenceId``. ASCII, without line ends."""
    severity = _NOTICE if row.successful else _WARNING
    at = datetime.fromtimestamp(row.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    kind = _printable(f"{row.operation}_{row.resource_type}", 32)
    sequence = (row.id - 1) % _LARGEST_SEQUENCE + 1
    head = f"<{facility * 8 + severity}>1 {at} {_printable(host, 255)} {_APPLICATION} - {kind}"
    # RFC 5424 section 6.4: what has no byte order mark may be any encoding; this is ASCII.
    text = json.dumps(row.to_json(), ensure_ascii=True)
    return f'{head} [meta sequenceId="{sequence}"] {text}'.encode("ascii")


@dataclass(frozen=True, slots=True)
class Syslog:
    """A receiver. ``timeout`` is seconds for a whole batch; the PEM files are for TLS."""

    transport: Transport
    host: str
    port: int
    facility: int
    framing: Framing
    timeout: float
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    async def send(self, rows: Sequence[Row]) -> None:
        """Returns when the receiver has read them (over UDP: when they were sent). Raises OSError."""
        here = socket.gethostname()
        messages = [message(row, here, self.facility) for row in rows]
        send = self._send_datagrams if self.transport == "udp" else self._send_stream
        await asyncio.to_thread(partial(send, messages))

    async def close(self) -> None:
        """Nothing is kept open."""

    def _send_datagrams(self, messages: Sequence[bytes]) -> None:
        family, kind, _, _, address = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind) as outgoing:
            outgoing.settimeout(self.timeout)
            outgoing.connect(address)
            for text in messages:
                outgoing.send(text)
                time.sleep(_PACE)

    def _send_stream(self, messages: Sequence[bytes]) -> None:
        deadline = time.monotonic() + self.timeout
        with socket.create_connection((self.host, self.port), timeout=self.timeout) as plain:
            body = b"".join(map(self._framed, messages))
            if self.transport == "tcp":
                plain.settimeout(_left(deadline))
                plain.sendall(body)
                plain.shutdown(socket.SHUT_WR)
                _read_to_end(plain, deadline)
                return
            context = self._context()
            with context.wrap_socket(plain, server_hostname=self.host) as secure:
                secure.settimeout(_left(deadline))
                secure.sendall(body)
                _end(secure, deadline)

    def _framed(self, text: bytes) -> bytes:
        # RFC 5425 section 4.3 knows only one way.
        if self.framing == "newline" and self.transport == "tcp":
            return text + b"\n"
        return b"%d %s" % (len(text), text)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


def _end(secure: ssl.SSLSocket, deadline: float) -> None:
    """Say that no more comes (close_notify, RFC 5425 section 4.4), and wait for the other to say so, too."""
    secure.settimeout(_left(deadline))
    try:
        secure.unwrap()
    except ssl.SSLEOFError:
        # It read that and closed the connection without a word.
        return
    except ssl.SSLError as error:
        # A session ticket, or whatever the receiver had still to say.
        if error.reason != "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
            raise


def _read_to_end(plain: socket.socket, deadline: float) -> None:
    while True:
        plain.settimeout(_left(deadline))
        if not plain.recv(_SKIPPED):
            return


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError(
            "the receiver did not end the connection: it may not have read everything"
        )
    return left


def _printable(text: str, longest: int) -> str:
    return _UNPRINTABLE.sub("?", text)[:longest] or "-"
