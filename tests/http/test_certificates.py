"""`longshore cert` and the certificates it makes, as a TLS client sees them."""

import os
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509

from longshore.cli.cert import command
from longshore.cli.failure import CommandFailed
from longshore.http.certificates import CertificateFailed, Issued, issue
from tests.services.certificates import Authority


def shake_hands(issued: Issued, name: str) -> None:
    """Serve with the pair, and connect as a client that trusts the authority only."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(issued.certificate, issued.key)
    context = ssl.create_default_context(cafile=str(issued.authority))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def serve() -> None:
            try:
                server_context.wrap_socket(theirs, server_side=True).detach()
            except OSError:
                theirs.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            context.wrap_socket(ours, server_hostname=name).close()
        finally:
            ours.close()
            thread.join()


@pytest.mark.parametrize("name", ["registry.example", "10.1.2.3", "::1", "a.pods.example"])
def test_every_host_is_a_name_of_the_certificate(tmp_path: Path, name: str):
    issued = issue(tmp_path, ["registry.example", "10.1.2.3", "::1", "*.pods.example"])

    shake_hands(issued, name)


def test_another_host_is_not(tmp_path: Path):
    issued = issue(tmp_path, ["registry.example"])

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(issued, "other.example")


def test_a_renewal_keeps_the_authority_and_replaces_the_pair(tmp_path: Path):
    first = issue(tmp_path, ["registry.example"])
    authority, certificate = first.authority.read_bytes(), first.certificate.read_bytes()

    second = issue(tmp_path, ["registry.example", "new.example"], days=30)

    assert (first.new_authority, second.new_authority) == (True, False)
    assert second.authority.read_bytes() == authority
    assert second.certificate.read_bytes() != certificate
    shake_hands(second, "new.example")


def test_keys_are_for_their_owner_only(tmp_path: Path):
    issued = issue(tmp_path, ["registry.example"])

    for key in (issued.key, tmp_path / "ca.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["ca.crt", "ca.key", "server.crt", "server.key"]


@pytest.mark.parametrize("host", ["", "https://registry.example", "a b", "registry:5000", "-x"])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str):
    with pytest.raises(CertificateFailed, match="neither a host name nor an address"):
        issue(tmp_path, [host])
    assert not list(tmp_path.iterdir())


def test_a_certificate_of_somebody_else_is_not_overwritten(tmp_path: Path, authority: Authority):
    issue(tmp_path, ["registry.example"])
    precious = authority.issue("registry.example").certificate.read_bytes()
    (tmp_path / "server.crt").write_bytes(precious)

    with pytest.raises(CertificateFailed, match=r"server\.crt is there and was not signed by"):
        issue(tmp_path, ["registry.example"])
    assert (tmp_path / "server.crt").read_bytes() == precious


def test_an_authority_without_its_key_is_refused(tmp_path: Path, authority: Authority):
    issue(tmp_path, ["registry.example"])
    (tmp_path / "ca.crt").write_bytes(authority.certificate.read_bytes())

    with pytest.raises(CertificateFailed, match=r"ca\.key is not the key of"):
        issue(tmp_path, ["registry.example"])


def test_the_command_says_where_each_client_wants_the_authority(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command(["registry.example"], tmp_path / "certs", 90, 5000)

    said = capsys.readouterr().out
    for place in (
        "/etc/docker/certs.d/registry.example:5000/ca.crt",
        "/etc/containers/certs.d/registry.example:5000/ca.crt",
        "/etc/containerd/certs.d/registry.example:5000/ca.crt",
        'server = "https://registry.example:5000"',
        f"certificate: {tmp_path}/certs/server.crt",
    ):
        assert place in said


def test_the_standard_port_is_not_part_of_the_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command(["registry.example"], tmp_path, 90, 443)

    assert "/etc/docker/certs.d/registry.example/ca.crt" in capsys.readouterr().out


def test_without_hosts_this_machine_is_meant(tmp_path: Path):
    command(None, tmp_path)
    certificate = x509.load_pem_x509_certificate((tmp_path / "server.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert "localhost" in names.get_values_for_type(x509.DNSName)
    assert socket.gethostname() in names.get_values_for_type(x509.DNSName)


def test_a_failure_of_the_command_is_for_people(tmp_path: Path):
    with pytest.raises(CommandFailed, match="9999 days: clients accept 1 to 825"):
        command(["registry.example"], tmp_path, 9999)
