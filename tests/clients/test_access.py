"""Who may come in: password files made by other tools, and certificates of clients."""

import time
from pathlib import Path

import httpx
import pytest

from tests.services.certificates import Authority
from tests.services.programs import Shell
from tests.services.registries import Login, Registry, RegistryFactory, htpasswd_line

pytestmark = pytest.mark.service


def with_passwords(file: Path) -> dict[str, object]:
    """The part of a configuration that names a password file."""
    return {"auth": {"htpasswd": {"realm": "tests", "path": str(file)}}}


def let_in(registry: Registry, login: Login) -> bool:
    """Whether somebody may use the registry."""
    with registry.client(login=False) as client:
        answer = client.get("/v2/", auth=(login.user, login.password))
    assert answer.status_code in {httpx.codes.OK, httpx.codes.UNAUTHORIZED}, answer.text
    return answer.status_code == httpx.codes.OK


def challenged(registry: Registry) -> bool:
    """Whether the registry is up and asks who is there."""
    try:
        with registry.client() as client:
            return client.get("/v2/").status_code == httpx.codes.UNAUTHORIZED
    except httpx.TransportError:
        return False


def test_a_password_file_made_by_apaches_htpasswd_is_understood(
    shell: Shell, registry_factory: RegistryFactory, tmp_path: Path
) -> None:
    file = tmp_path / "passwords"
    file.write_text(shell("htpasswd", "-Bbn", "bob", "pass:word").out)

    registry = registry_factory(with_passwords(file), ready=challenged)

    assert let_in(registry, Login("bob", "pass:word"))
    assert not let_in(registry, Login("bob", "pass"))


def test_a_changed_password_counts_without_a_restart(
    registry_factory: RegistryFactory, tmp_path: Path
) -> None:
    file = tmp_path / "passwords"
    old, new = Login("bob", "old"), Login("bob", "new")
    file.write_text(htpasswd_line(old))
    registry = registry_factory(with_passwords(file), ready=challenged)
    assert let_in(registry, old)

    file.write_text(htpasswd_line(new))
    for _ in range(100):
        if let_in(registry, new):
            break
        time.sleep(0.1)

    assert let_in(registry, new)
    assert not let_in(registry, old)


def test_a_client_certificate_is_asked_for(
    shell: Shell, registry_factory: RegistryFactory, authority: Authority, tmp_path: Path
) -> None:
    """skopeo and podman find a client's certificate beside the authority's."""
    pair = authority.issue("client")
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "ca.crt").write_bytes(authority.certificate.read_bytes())
    required = {"http": {"tls": {"clientcas": [str(authority.certificate)]}}}

    def demanding(registry: Registry) -> bool:
        return "certificate" in shell.attempt("skopeo", *inspect(registry)).err

    def inspect(registry: Registry) -> list[str]:
        reference = f"docker://{registry.host}/no/such:image"
        return ["inspect", f"--cert-dir={trust}", reference]

    registry = registry_factory(required, tls=True, ready=demanding)
    without = shell.refused("skopeo", *inspect(registry)).err
    (trust / "client.cert").write_bytes(pair.certificate.read_bytes())
    (trust / "client.key").write_bytes(pair.key.read_bytes())
    with_one = shell.refused("skopeo", *inspect(registry)).err

    assert "certificate" in without
    assert "unknown" in with_one
    assert "certificate" not in with_one
