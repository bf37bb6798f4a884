"""A private certificate authority and the server certificates it signs, for registries without
public ones.

The authority stays the same from one certificate to the next, so that clients are told to trust
it once. Curves and times are what every client takes: P-256, 825 days for a server at most (RFC
5280; Apple's limit for certificates of private authorities).
"""

import datetime
import ipaddress
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LONGEST_DAYS: Final = 825
_AUTHORITY_DAYS: Final = 3650
#: Clocks of clients may be behind.
_LEEWAY: Final = datetime.timedelta(hours=1)


class CertificateFailed(Exception):
    """No certificate was made. The message is the whole explanation."""


@dataclass(frozen=True, slots=True)
class Issued:
    """The files of a server certificate: ``authority`` is for clients, the others for the server."""

    authority: Path
    certificate: Path
    key: Path
    hosts: tuple[str, ...]
    expires: datetime.datetime
    new_authority: bool


def issue(directory: Path, hosts: Sequence[str], days: int = LONGEST_DAYS) -> Issued:
    """Sign a new server certificate for ``hosts`` (names and addresses) in ``directory``, by the
    authority there, which is made if there is none.

    Raises CertificateFailed when a host is no name, the days make no sense, or a file is there
    that this function has not made.
    """
    if not 1 <= days <= LONGEST_DAYS:
        raise CertificateFailed(f"{days} days: clients accept 1 to {LONGEST_DAYS}")
    names = [_subject_name(host) for host in hosts]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return _issue(directory, tuple(hosts), names, days)
    except OSError as error:
        raise CertificateFailed(f"{error.filename or directory}: {error.strerror}") from error


def _issue(
    directory: Path, hosts: tuple[str, ...], names: list[x509.GeneralName], days: int
) -> Issued:
    authority_file, authority_key_file = directory / "ca.crt", directory / "ca.key"
    certificate_file, key_file = directory / "server.crt", directory / "server.key"
    made = not authority_file.exists()
    if made:
        authority, authority_key = _make_authority()
    else:
        authority, authority_key = _load_authority(authority_file, authority_key_file)
    _check_ours(certificate_file, authority)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(names, hosts[0], key.public_key(), authority, authority_key, days)
    if made:
        _write(authority_key_file, _pem(authority_key), 0o600)
        _write(authority_file, authority.public_bytes(serialization.Encoding.PEM), 0o644)
    _write(key_file, _pem(key), 0o600)
    _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return Issued(
        authority_file, certificate_file, key_file, hosts, certificate.not_valid_after_utc, made
    )


def _subject_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        encoded = host.encode("idna").decode("ascii")
    except UnicodeError:
        encoded = ""
    labels = encoded.removeprefix("*.").split(".")
    if not all(label.replace("-", "").isalnum() and label.strip("-") == label for label in labels):
        raise CertificateFailed(
            f"{host!r} is neither a host name nor an address; leave out scheme and port"
        )
    return x509.DNSName(encoded)


def _make_authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # A name of its own: trust stores tell authorities apart by it.
    name = _name(f"Longshore private authority {serial:x}"[:48])
    certificate = (
        _draft(name, name, key.public_key(), serial, _AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _load_authority(
    certificate_file: Path, key_file: Path
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise CertificateFailed(
            f"the authority in {certificate_file} and {key_file} cannot be read; "
            "choose another directory with --out"
        ) from error
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != certificate.public_key()
    ):
        raise CertificateFailed(
            f"{key_file} is not the key of {certificate_file}; choose another directory with --out"
        )
    if certificate.not_valid_after_utc < _now() + datetime.timedelta(days=1):
        raise CertificateFailed(
            f"the authority in {certificate_file} has expired; move it away, run this again, and "
            "give clients the new ca.crt"
        )
    return certificate, key


def _check_ours(certificate_file: Path, authority: x509.Certificate) -> None:
    """Raises CertificateFailed rather than let somebody else's certificate be overwritten."""
    if not certificate_file.exists():
        return
    try:
        old = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        old.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CertificateFailed(
            f"{certificate_file} is there and was not signed by the authority beside it; "
            "choose another directory with --out"
        ) from error


def _sign(
    names: list[x509.GeneralName],
    host: str,
    key: ec.EllipticCurvePublicKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    days: int,
) -> x509.Certificate:
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return (
        _draft(_name(host[:64]), authority.subject, key, x509.random_serial_number(), days)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, serial: int, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(_now() - _LEEWAY)
        .not_valid_after(_now() - _LEEWAY + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(file: Path, content: bytes, mode: int) -> None:
    """Replace ``file`` at once: a server that looks meanwhile sees the old or the new one."""
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(descriptor, "wb") as target:
        os.fchmod(descriptor, mode)
        target.write(content)
    Path(temporary).replace(file)
