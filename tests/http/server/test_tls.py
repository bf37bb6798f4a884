"""TLS: protocol versions, reload under open connections, certificates of clients."""

import contextlib
import datetime
import os
import shutil
import signal
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from longshore.http.tls import ClientAuthentication, TLSFailed, TLSOptions
from tests.http.server.conftest import Running, Start, ask, eventually
from tests.services.certificates import Authority, KeyPair


@pytest.fixture
def pair(authority: Authority, tmp_path: Path) -> KeyPair:
    """A certificate of 127.0.0.1 in files of this test's own, so that it can replace them."""
    return copy(authority.issue("127.0.0.1"), tmp_path)


def copy(source: KeyPair, directory: Path) -> KeyPair:
    return KeyPair(
        Path(shutil.copy(source.certificate, directory / "server.crt")),
        Path(shutil.copy(source.key, directory / "server.key")),
    )


def serial(server: Running) -> str:
    """Which certificate a new connection is shown."""
    assert server.tls
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain,
        server.tls.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        found = wrapped.getpeercert()
        assert found
        return str(found["serialNumber"])


@pytest.fixture
def secure(start: Start, pair: KeyPair, authority: Authority, engine: str) -> Running:
    server = start(engine=engine, tls={"certificate": str(pair.certificate), "key": str(pair.key)})
    server.tls = authority.client_context()
    return server.wait()


def test_http_is_spoken_over_tls_and_the_scheme_is_https(secure: Running):
    assert secure.get("/scope")["scheme"] == "https"
    assert "ready https://" in secure.log


def test_only_http_1_is_offered(secure: Running, authority: Authority):
    context = authority.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", secure.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        assert wrapped.selected_alpn_protocol() == "http/1.1"


def test_tls_1_2_is_refused_when_1_3_is_the_minimum(
    start: Start, pair: KeyPair, authority: Authority, engine: str
):
    files = {"certificate": str(pair.certificate), "key": str(pair.key)}
    server = start(engine=engine, tls={**files, "minimum": "tls1.3"}).wait()
    old = authority.client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2

    with pytest.raises(ssl.SSLError):
        server.get(tls=old)
    assert server.get(tls=authority.client_context())["name"] == "main"


def test_changed_files_reach_new_connections_while_a_request_is_in_flight(
    secure: Running, authority: Authority, pair: KeyPair
):
    before = serial(secure)
    flying = secure.connect()
    flying.request("GET", "/slow/1.5")

    copy(authority.issue("127.0.0.1"), pair.key.parent)
    secure.service.process.send_signal(signal.SIGHUP)

    def changed() -> bool:
        # A connection that waits for a worker which is being replaced may be cut: granian does so.
        with contextlib.suppress(OSError):
            return serial(secure) != before
        return False

    eventually(changed)
    assert b"slot" in flying.getresponse().read()
    assert secure.service.process.poll() is None


def test_changed_files_are_noticed_without_a_signal(
    start: Start, authority: Authority, pair: KeyPair
):
    files = {"certificate": str(pair.certificate), "key": str(pair.key)}
    server = start(tls_poll=0.1, tls=files)
    server.tls = authority.client_context()
    before = serial(server.wait())

    copy(authority.issue("127.0.0.1"), pair.key.parent)

    eventually(lambda: serial(server) != before)
    assert ask(server.connect())["name"] == "main"


def test_a_broken_pair_is_reported_and_the_old_one_stays(
    secure: Running, authority: Authority, pair: KeyPair
):
    before = serial(secure.wait_for_all())
    shutil.copy(authority.issue("127.0.0.1").key, pair.key)

    secure.service.process.send_signal(signal.SIGHUP)

    eventually(lambda: "the key does not belong to the certificate" in secure.log)
    assert serial(secure) == before


def test_a_client_without_a_certificate_is_refused_when_one_is_required(
    start: Start, pair: KeyPair, authority: Authority, engine: str
):
    server = start(engine=engine, tls=mutual(pair, authority, ClientAuthentication.REQUIRED)).wait()
    known = authority.client_context()
    client = authority.issue("client.example")
    known.load_cert_chain(client.certificate, client.key)

    assert server.get(tls=known)["name"] == "main"
    with pytest.raises((ssl.SSLError, OSError)):
        server.get(tls=authority.client_context())


def test_a_client_may_come_without_a_certificate_but_not_with_a_strange_one(
    start: Start, pair: KeyPair, authority: Authority, tmp_path: Path
):
    server = start(tls=mutual(pair, authority, ClientAuthentication.IF_GIVEN)).wait()
    stranger = Authority(tmp_path).issue("stranger.example")
    strange = authority.client_context()
    strange.load_cert_chain(stranger.certificate, stranger.key)

    assert server.get(tls=authority.client_context())["name"] == "main"
    with pytest.raises((ssl.SSLError, OSError)):
        server.get(tls=strange)


def mutual(pair: KeyPair, authority: Authority, how: ClientAuthentication) -> dict[str, object]:
    return {
        "certificate": str(pair.certificate),
        "key": str(pair.key),
        "authorities": [str(authority.certificate)],
        "clients": str(how),
    }


def test_a_worker_that_is_replaced_while_the_files_are_broken_starts_with_the_last_good_ones(
    secure: Running, authority: Authority, pair: KeyPair
):
    secure.wait_for_all()
    good = copy(authority.issue("127.0.0.1"), pair.key.parent).certificate.read_bytes()
    secure.service.process.send_signal(signal.SIGHUP)
    eventually(lambda: shown(secure) == number_of(good), 15)
    pair.key.write_text("half a key")
    secure.service.process.send_signal(signal.SIGHUP)
    eventually(lambda: "the old certificate stays in use" in secure.log, 15)

    before = secure.workers()
    for worker in before:
        os.kill(worker, signal.SIGKILL)

    eventually(lambda: len(secure.workers() - before) == 2, 15)
    eventually(lambda: shown(secure) == number_of(good), 15)
    newest = copy(authority.issue("127.0.0.1"), pair.key.parent).certificate.read_bytes()
    secure.service.process.send_signal(signal.SIGHUP)
    eventually(lambda: shown(secure) == number_of(newest), 15)


def number_of(certificate: bytes) -> str:
    """The serial number of the first certificate in a PEM file, as `serial` gives it."""
    text = f"{x509.load_pem_x509_certificate(certificate).serial_number:X}"
    return text if len(text) % 2 == 0 else f"0{text}"


def shown(server: Running) -> str:
    """The certificate of a new connection; empty if it is cut off, as one may be whose handshake is
    under way while an engine is replaced."""
    try:
        return serial(server)
    except OSError:
        return ""


def test_a_key_of_another_certificate_is_named_at_the_start(
    authority: Authority, start: Start, tmp_path: Path
):
    certificate = authority.issue("127.0.0.1").certificate
    key = authority.issue("other.example").key

    server = start(tls={"certificate": str(certificate), "key": str(key)})

    assert server.exit_code == 1
    assert "the key does not belong to the certificate" in server.log


@pytest.fixture
def strange(tmp_path: Path) -> KeyPair:
    """A pair on the curve P-521, which OpenSSL knows and Granian does not."""
    key = ec.generate_private_key(ec.SECP521R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    later = now + datetime.timedelta(days=1)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, now, later)
    pair = KeyPair(tmp_path / "p521.crt", tmp_path / "p521.key")
    pair.certificate.write_bytes(
        certificate.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pair


def test_a_key_that_granian_cannot_use_is_told_with_what_can(start: Start, strange: KeyPair):
    files = {"certificate": str(strange.certificate), "key": str(strange.key)}

    server = start(tls=files)

    assert server.exit_code == 1
    assert "or set longshore.http.server to uvicorn" in server.log
    assert "panicked" not in server.log
    assert "ready https://" in start(tls=files, engine="uvicorn").wait().log


def test_a_new_key_that_granian_cannot_use_takes_nobody_down(
    start: Start, authority: Authority, pair: KeyPair, strange: KeyPair
):
    server = start(tls={"certificate": str(pair.certificate), "key": str(pair.key)})
    server.tls = authority.client_context()
    before, workers = serial(server.wait_for_all()), server.workers()
    copy(strange, pair.key.parent)

    server.service.process.send_signal(signal.SIGHUP)

    eventually(lambda: "the old certificate stays in use" in server.log)
    assert serial(server) == before
    assert server.workers() >= workers


def test_files_that_are_missing_or_no_pem_are_named(authority: Authority, tmp_path: Path):
    pair = authority.issue("127.0.0.1")
    text = tmp_path / "text"
    text.write_text("not a certificate")

    with pytest.raises(TLSFailed, match=r"absent\.crt cannot be read: No such file"):
        TLSOptions(tmp_path / "absent.crt", pair.key).check()
    with pytest.raises(TLSFailed, match="no PEM block found"):
        TLSOptions(text, pair.key).check()
    with pytest.raises(TLSFailed, match="no usable PEM certificate"):
        TLSOptions(pair.certificate, pair.key, client_authorities=(text,)).check()
