"""Rows that are sent to receivers: real ones (rsyslog, an HTTP server), which are away, slow, wrong and killed, and
nothing is lost."""

import json
import re
import socket
import struct
import threading
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from longshore.audit import store
from longshore.audit.forwarding import AuditForward, Unforwarded, waiting
from longshore.audit.model import Row
from longshore.audit.retention import remove_older
from longshore.audit.settings import AuditSettings
from longshore.audit.syslog import Syslog, message
from longshore.audit.webhook import Webhook
from longshore.audit.webhook_signature import signature_headers, signing_key
from longshore.background import gauges
from longshore.jobs.model import RetryPolicy
from tests.audit.receiving import SECRET, Receiver, listening
from tests.audit.test_chain import KEYS, add
from tests.audit.test_command_line import run_command
from tests.audit.test_recording import rows
from tests.services.management import ADMIN, management_of
from tests.services.processes import free_port

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(first=0.05, longest=0.2)


async def grow(jobs, first: int, count: int) -> None:
    await jobs.database.write(partial(add, first=first, count=count))


@asynccontextmanager
async def sending(jobs, *receivers):
    """To each of ``receivers``, called a, b and so on."""
    tasks = [
        AuditForward(jobs.database, name, receiver, "here", QUICK)
        for name, receiver in zip("abc", receivers, strict=False)
    ]
    names = [task.name for task in tasks]
    try:
        async with jobs.worker(*tasks, sources=(Unforwarded(names),)):
            yield names
    finally:
        for task in tasks:
            await task.close()


async def until_all_sent(jobs, names) -> None:
    work = partial(waiting, receivers=names)
    with anyio.fail_after(30):
        while True:
            if not any((await jobs.database.read(work)).values()):
                return
            await anyio.sleep(0.02)


async def until_refused(jobs) -> str:
    """What a job says that waits for its receiver."""
    found = await jobs.until_listed(lambda job: job.error is not None)
    assert found.kind == "audit-forward:a"
    return str(found.error)


def syslog(transport: str, port: int, **more) -> Syslog:
    values = {"facility": 13, "framing": "octets", "timeout": 5.0, **more}
    return Syslog(transport, "127.0.0.1", port, **values)  # type: ignore[arg-type]


def hook(receiver: Receiver, **more) -> Webhook:
    return Webhook(receiver.url, signing_key(SECRET), {"X-Extra": "1"}, 5.0, **more)


def ids_of(messages) -> list[int]:
    return [json.loads(found["text"])["id"] for found in messages]


@pytest.mark.service
@pytest.mark.parametrize("transport", ["udp", "tcp", "newline", "tls"])
async def test_rsyslog_understands_every_row_once_and_in_order(jobs, rsyslog, authority, transport):
    pair = authority.issue("longshore")
    receiver = {
        "udp": partial(syslog, "udp", rsyslog.udp),
        "tcp": partial(syslog, "tcp", rsyslog.tcp),
        "newline": partial(syslog, "tcp", rsyslog.tcp, framing="newline"),
        "tls": partial(
            syslog,
            "tls",
            rsyslog.tls,
            authority=authority.certificate,
            certificate=pair.certificate,
            key=pair.key,
        ),
    }[transport]()
    await grow(jobs, 1, 250)
    async with sending(jobs, receiver) as names:
        await until_all_sent(jobs, names)
        await grow(jobs, 251, 3)
        await until_all_sent(jobs, names)
    found = await anyio.to_thread.run_sync(rsyslog.until, 253)

    assert ids_of(found) == list(range(1, 254))
    rows = await jobs.database.read(partial(store.following, after=0, limit=1000))
    assert [json.loads(one["text"]) for one in found] == [row.to_json() for row in rows]
    first = found[0]
    assert (first["facility"], first["severity"], first["application"]) == ("13", "5", "longshore")
    assert first["timestamp"] == "1970-01-01T00:16:41.000000Z"
    assert (first["msgid"], first["data"]) == ("create_tag", '[meta sequenceId="1"]')


@pytest.mark.service
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_happens_while_rsyslog_is_away_arrives_when_it_is_back(jobs, rsyslog):
    await grow(jobs, 1, 5)
    async with sending(jobs, syslog("tcp", rsyslog.tcp)) as names:
        await until_all_sent(jobs, names)
        for number in range(2):
            await anyio.to_thread.run_sync(rsyslog.stop)
            await grow(jobs, 100 * (number + 1), 250)
            refused = await until_refused(jobs)
            assert refused.startswith("here did not take rows from ")
            assert "refused" in refused
            await anyio.to_thread.run_sync(rsyslog.start)
            await until_all_sent(jobs, names)
    found = await anyio.to_thread.run_sync(rsyslog.until, 505)

    assert ids_of(found) == list(range(1, 506))


@pytest.mark.service
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_receiver_that_is_not_who_it_should_be_is_told_nothing(jobs, rsyslog):
    await grow(jobs, 1, 1)
    async with sending(jobs, syslog("tls", rsyslog.tls)):
        refused = await until_refused(jobs)

    assert "CERTIFICATE_VERIFY_FAILED" in refused
    assert rsyslog.messages() == []


class Careless:
    """Takes connections: resets the first ones after reading a little, keeps silent on the next, then reads."""

    def __init__(self, resets: int, silences: int) -> None:
        self._resets, self._silences = resets, silences
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.received: list[bytes] = []
        self._silent: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if self._resets:
                self._resets -= 1
                connection.recv(10)
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.close()
            elif self._silences:
                self._silences -= 1
                self._silent.append(connection)
            else:
                with connection:
                    body = b""
                    while piece := connection.recv(65536):
                        body += piece
                self.received.append(body)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._silent:
            connection.close()
        self._thread.join(5)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_was_sent_to_somebody_who_did_not_read_it_is_sent_again(jobs):
    careless = Careless(resets=2, silences=1)
    await grow(jobs, 1, 7)
    try:
        async with sending(jobs, syslog("tcp", careless.port, timeout=1.0)) as names:
            await until_all_sent(jobs, names)
    finally:
        careless.close()

    assert [sequence_of(text) for text in unframed(careless.received[0])] == list(range(1, 8))
    assert len(careless.received) == 1


def unframed(stream: bytes) -> list[bytes]:
    """RFC 6587 section 3.4.1."""
    found = []
    while stream:
        length, _, rest = stream.partition(b" ")
        assert re.fullmatch(rb"[1-9][0-9]*", length)
        found.append(rest[: int(length)])
        assert len(found[-1]) == int(length)
        stream = rest[int(length) :]
    return found


#: RFC 5424 section 6, as far as a message without a byte order mark goes.
GRAMMAR = re.compile(
    rb"<(?P<pri>0|[1-9][0-9]{0,2})>1 "
    rb"(?P<at>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{1,6}Z) "
    rb"(?P<host>[!-~]{1,255}) (?P<application>[!-~]{1,48}) (?P<procid>[!-~]{1,128}) "
    rb"(?P<msgid>[!-~]{1,32}) "
    rb'\[meta sequenceId="(?P<sequence>[1-9][0-9]*)"\] (?P<text>[ -~]*)'
)


def sequence_of(text: bytes) -> int:
    found = GRAMMAR.fullmatch(text)
    assert found is not None, text
    return int(found["sequence"])


texts = st.text(st.characters(codec="utf-8"), max_size=80)


@given(
    texts=st.lists(texts, min_size=8, max_size=8),
    at=st.floats(0, 4e9),
    id=st.integers(1, 2**62),
    successful=st.booleans(),
    host=texts,
    facility=st.integers(0, 23),
)
def test_every_row_is_a_message_of_the_grammar(texts, at, id, successful, host, facility):
    names = ("actor", "address", "operation", "resource_type", "resource", "project")
    row = Row(
        at=at,
        id=id,
        successful=successful,
        previous="0",
        key_id="k",
        seal="s",
        **dict(zip(names, texts, strict=False)),
    )
    found = GRAMMAR.fullmatch(message(row, host, facility))

    assert found is not None
    assert int(found["pri"]) == facility * 8 + (5 if successful else 4)
    assert 1 <= int(found["sequence"]) < 2**31
    assert json.loads(found["text"]) == row.to_json()


async def test_a_webhook_gets_signed_batches_and_misses_nothing(jobs):
    """It refuses, sends elsewhere, goes away and comes back."""
    receiver = Receiver(script=[500, 302])
    await grow(jobs, 1, 450)
    with listening(receiver):
        async with sending(jobs, hook(receiver)) as names:
            await until_all_sent(jobs, names)
    assert receiver.ids == list(range(1, 451))
    assert len(receiver.requests) == 2 + 3
    first = receiver.requests[0]
    assert (first["Content-Type"], first["X-Extra"]) == ("application/json", "1")
    again = [found["webhook-id"] for found in receiver.requests]
    assert again == ["audit-1-200", "audit-1-200", "audit-1-200", "audit-201-400", "audit-401-450"]
    await grow(jobs, 451, 10)
    async with sending(jobs, hook(receiver)) as names:
        refused = await until_refused(jobs)
        assert "it cannot be reached" in refused
        assert "hidden" not in refused
        with listening(receiver):
            await until_all_sent(jobs, names)

    assert receiver.ids == list(range(1, 461))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("header", ["Bearer hidden\n", "Bearer hidden\N{EURO SIGN}"])
async def test_a_header_that_cannot_be_sent_is_not_shown(jobs, header):
    receiver = Receiver()
    await grow(jobs, 1, 1)
    with listening(receiver):
        refusing = Webhook(receiver.url, b"key", {"Authorization": header}, 5.0)
        async with sending(jobs, refusing):
            refused = await until_refused(jobs)

    assert "one of its headers cannot be sent" in refused
    assert "hidden" not in refused


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_receiver_that_fails_holds_up_no_other(jobs):
    receiver = Receiver()
    await grow(jobs, 1, 3)
    with listening(receiver):
        async with sending(jobs, syslog("tcp", free_port()), hook(receiver)) as names:
            await until_all_sent(jobs, names[1:])
            found = await jobs.database.read(partial(waiting, receivers=names))

    assert found == {"a": 3, "b": 0}


class Lost(Exception):
    """The process ends between sending and noting it."""


class Ending:
    def __init__(self, receiver: Webhook) -> None:
        self._receiver = receiver
        self.ended = False

    async def send(self, rows) -> None:
        await self._receiver.send(rows)
        if not self.ended:
            self.ended = True
            raise Lost

    async def close(self) -> None:
        await self._receiver.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_rows_that_nobody_noted_as_sent_are_sent_again(jobs):
    receiver = Receiver()
    await grow(jobs, 1, 3)
    with listening(receiver):
        async with sending(jobs, Ending(hook(receiver))) as names:
            await until_all_sent(jobs, names)

    assert receiver.ids == [1, 2, 3, 1, 2, 3]


async def test_no_row_is_removed_before_every_receiver_has_it(jobs):
    await grow(jobs, 1, 10)
    database = jobs.database
    await database.write(partial(store.set_forwarded, receiver="a", last_id=4, now=1.0))
    await database.write(partial(store.set_forwarded, receiver="a", last_id=6, now=1.0))
    await database.write(partial(store.set_forwarded, receiver="b", last_id=10, now=1.0))

    assert await remove_older(database, KEYS, 1e9, ["b", "new"]) == 0
    assert await remove_older(database, KEYS, 1e9, ["a", "b"]) == 6
    assert await database.read(partial(waiting, receivers=["a", "new"])) == {"a": 4, "new": 4}
    assert await remove_older(database, KEYS, 1e9) == 4


def test_a_secret_is_base64_behind_its_prefix_or_a_text():
    assert signing_key("whsec_c2VjcmV0") == b"secret"
    assert signing_key("a text") == b"a text"
    with pytest.raises(ValueError, match="no base64 follows"):
        signing_key("whsec_?")


def test_a_signature_is_that_of_the_standards_example():
    """github.com/standard-webhooks/standard-webhooks, the example in the specification."""
    found = signature_headers(
        signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_registry_sends_what_happens_in_it_and_says_how_far_it_got(
    database_url, tmp_path, capsys
):
    receiver = Receiver()
    away = f"tcp://127.0.0.1:{free_port()}"
    with listening(receiver):
        forward = [
            {"name": "hook", "url": receiver.url, "secret": SECRET},
            {"name": "siem", "url": away},
        ]
        options = {"audit": {"forward": forward}, "jobs": {"poll": "50ms"}}
        async with management_of(database_url, tmp_path, longshore=options) as management:
            assert (await management.push(ADMIN, "library/app")).status_code == 201
            found = await rows(management, 2)
            await until_all_sent(management, ["hook"])
            waits = await gauges(management.database, ["hook", "siem"])
            words = ["audit", "receivers", "--json", "--config", str(tmp_path / "config-0.yml")]
            with anyio.fail_after(20):
                while True:
                    code = await anyio.to_thread.run_sync(run_command, words)
                    hook_, siem = printed(capsys.readouterr().out)
                    if siem["problem"]:
                        break
                    await anyio.sleep(0.05)

    assert receiver.rows[: len(found)] == [row.to_json() for row in found]
    assert waits["longshore_audit_rows_waiting"]["siem"] >= 2
    assert code in (None, 0)
    assert hook_["url"] == f"http://127.0.0.1:{receiver.port}"
    assert hook_["last_id"] >= 2
    assert (siem["url"], siem["last_id"]) == (away, 0)
    assert siem["problem"].startswith(f"{away} did not take rows from 1: ")


def printed(text: str) -> list[dict[str, Any]]:
    """What the command printed between the lines of the access log."""
    lines = [line for line in text.splitlines() if not line.startswith("time=")]
    found: list[dict[str, Any]] = json.loads("\n".join(lines))
    return found


@pytest.mark.parametrize(
    ("receiver", "problem"),
    [
        ({"url": "ftp://host"}, "this is no address to send to"),
        ({"url": "tls://"}, "this is no address to send to"),
        ({"url": "tcp://host:0"}, "this is no address to send to"),
        ({"url": "tcp://host/path"}, "ends after the port"),
        ({"url": "https://host/hook?password"}, "a webhook needs a secret"),
        ({"url": "https://host/hook", "secret": "whsec_?"}, "no base64 follows"),
        ({"url": "tcp://host", "secret": "password"}, "secret and headers are for webhooks"),
        ({"url": "tls://host", "certificate": "/pem"}, "certificate and key belong together"),
    ],
)
def test_a_receiver_that_cannot_be_is_refused_at_the_start(receiver, problem):
    with pytest.raises(ValidationError, match=problem) as refused:
        AuditSettings.model_validate({"forward": [{"name": "siem", **receiver}]})

    assert "password" not in str(refused.value)


def test_two_receivers_need_two_names():
    twice = [{"name": "siem", "url": "tcp://host"}] * 2

    with pytest.raises(ValidationError, match="two receivers are called 'siem'"):
        AuditSettings.model_validate({"forward": twice})
