"""`longshore cert`: a certificate for a registry that has none, and where its clients want the CA."""

import socket
from pathlib import Path
from typing import Annotated

import typer

from longshore.cli.failure import CommandFailed
from longshore.http.certificates import LONGEST_DAYS, CertificateFailed, Issued, issue

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def command(
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address of the registry; may be repeated.  [this machine's]"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for the files.")] = Path("certs"),
    days: Annotated[int, typer.Option(help="How long the certificate is valid.")] = LONGEST_DAYS,
    port: Annotated[int, typer.Option(help="Port of the registry, for the instructions.")] = 5000,
) -> None:
    """Make a certificate for the registry, signed by a private authority in the same directory.

    Run again, it renews the certificate; clients go on trusting the same authority. A running
    server takes the new files by itself.
    """
    hosts = list(dict.fromkeys(host or [*_own_names(), *_LOOPBACK]))
    try:
        issued = issue(out, hosts, days)
    except CertificateFailed as error:
        raise CommandFailed(str(error)) from error
    typer.echo(_explanation(issued, port))


def _own_names() -> list[str]:
    """What other machines may call this one."""
    return [name for name in (socket.gethostname(), socket.getfqdn()) if name not in _LOOPBACK]


def _explanation(issued: Issued, port: int) -> str:
    address = _address(issued.hosts, port)
    authority = issued.authority.resolve()
    made = "new" if issued.new_authority else "the one that was there"
    return f"""\
Certificate  {issued.certificate}
Key          {issued.key}
Authority    {issued.authority} ({made})
For          {", ".join(issued.hosts)}
Valid until  {issued.expires:%Y-%m-%d}

Serve with it, in config.yml:
  http:
    tls:
      certificate: {issued.certificate.resolve()}
      key: {issued.key.resolve()}

Clients must trust the authority. Copy {authority} there:

docker (no restart needed)
  /etc/docker/certs.d/{address}/ca.crt

podman, skopeo, buildah
  /etc/containers/certs.d/{address}/ca.crt

containerd, nerdctl, k3s and Kubernetes on containerd
  /etc/containerd/certs.d/{address}/ca.crt
  and beside it hosts.toml:
    server = "https://{address}"
    [host."https://{address}"]
      ca = "/etc/containerd/certs.d/{address}/ca.crt"
  (containerd reads that directory when its config.toml says config_path = "/etc/containerd/certs.d")

every other program of a machine
  Debian, Ubuntu: /usr/local/share/ca-certificates/longshore.crt, then update-ca-certificates
  Fedora, RHEL:   /etc/pki/ca-trust/source/anchors/longshore.crt, then update-ca-trust

Keep {issued.authority.parent / "ca.key"} to yourself: whoever has it can pretend to be the registry."""


def _address(hosts: tuple[str, ...], port: int) -> str:
    """How clients name the registry, and so its directory: HOST, or HOST:PORT unless it is 443."""
    name = next((host for host in hosts if host not in _LOOPBACK), hosts[0])
    bracketed = f"[{name}]" if ":" in name else name
    return bracketed if port == 443 else f"{bracketed}:{port}"
