"""`longshore login`: as `docker login`, and in the same files."""

import sys
from typing import Annotated

import typer

from longshore.cli import options
from longshore.cli.failure import CommandFailed
from longshore.cli.output import note, run, show
from longshore.client.addresses import registry_name
from longshore.client.connection import Connection
from longshore.client.credentials import Credential, OneCredential
from longshore.client.device import Code
from longshore.client.dockerconfig import Stored
from longshore.client.errors import LocationInvalid, Unauthenticated
from longshore.client.registry import RegistryClient
from longshore.oci.reference import DOCKER_HUB

_UNENCRYPTED = """\
WARNING! Your password is stored unencrypted in {file}.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/"""


def command(
    server: Annotated[
        str, typer.Argument(metavar="[SERVER]", help="HOST[:PORT] of the registry.")
    ] = DOCKER_HUB,
    username: Annotated[str | None, typer.Option("--username", "-u", help="Your name.")] = None,
    password: Annotated[
        str | None, typer.Option("--password", "-p", help="Your password; better from stdin.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    device: Annotated[
        bool, typer.Option("--device", help="Show a code to type in at another device.")
    ] = False,
    provider: Annotated[
        str, typer.Option("--provider", help="With --device: which OpenID provider knows you.")
    ] = "",
    as_json: options.Json = False,
    ca: options.Ca = None,
    insecure: options.Insecure = False,
    plain_http: options.PlainHttp = False,
    trust_realm: options.TrustRealm = None,
) -> None:
    """Log in to a registry and remember it for this command, docker, podman and others.

    The login goes where docker keeps it: in the credential helper that is configured, or else in
    ~/.docker/config.json ($DOCKER_CONFIG, $REGISTRY_AUTH_FILE).
    """
    registry = _registry(server)
    connection = options.connection(ca, insecure, plain_http, trust_realm)
    if device or provider:
        if username or password or password_stdin:
            raise typer.BadParameter("--device needs neither a user name nor a password")
        stored = run(lambda: _log_in_by_device(registry, connection, provider))
        _show(registry, stored, as_json=as_json)
        return
    if username is None and password is None and not password_stdin:
        if run(lambda: _known_login_works(registry, connection)):
            show({"registry": registry, "stored": False}, "Login Succeeded", as_json=as_json)
            return
        if not sys.stdin.isatty():
            raise typer.BadParameter("without a terminal, give --username and --password-stdin")
    credential = _credential(username, password, password_stdin)
    stored = run(lambda: _log_in(registry, connection, credential))
    _show(registry, stored, as_json=as_json)


def _show(registry: str, stored: Stored, *, as_json: bool) -> None:
    if stored.file:
        note(_UNENCRYPTED.format(file=stored.file))
    document = {
        "registry": registry,
        "stored": True,
        "file": str(stored.file) if stored.file else None,
        "helper": stored.helper or None,
    }
    show(document, "Login Succeeded", as_json=as_json)


def _registry(server: str) -> str:
    try:
        return registry_name(server)
    except LocationInvalid as error:
        raise typer.BadParameter(error.message) from error


def _credential(username: str | None, password: str | None, password_stdin: bool) -> Credential:
    if password_stdin:
        if password is not None:
            raise typer.BadParameter("--password and --password-stdin contradict each other")
        if not username:
            raise typer.BadParameter("--password-stdin needs --username")
        password = sys.stdin.read().rstrip("\r\n")
    elif password is not None:
        note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if not username:
        username = typer.prompt("Username", err=True)
    if password is None:
        password = typer.prompt("Password", hide_input=True, err=True)
    if not username or not password:
        raise CommandFailed("neither the user name nor the password may be empty")
    return Credential(username, password)


async def _known_login_works(registry: str, connection: Connection) -> bool:
    known = await options.logins().find(registry)
    if known is None:
        return False
    note("Authenticating with existing credentials...")
    try:
        async with RegistryClient(
            registry, credentials=OneCredential(known), connection=connection
        ) as client:
            await client.ping()
    except Unauthenticated as error:
        note(error.message)
        return False
    return True


async def _log_in_by_device(registry: str, connection: Connection, provider: str) -> Stored:
    async with RegistryClient(registry, connection=connection) as client:
        credential = await client.login_by_device(provider, _tell)
    note(f"You are {credential.username} there.")
    return await options.logins().store(registry, credential)


def _tell(code: Code) -> None:
    note(f"Open {code.complete or code.address} in a browser, on any device")
    note(f"and make sure that it shows the code {code.user_code}. Never do that for somebody else.")


async def _log_in(registry: str, connection: Connection, credential: Credential) -> Stored:
    async with RegistryClient(
        registry, credentials=OneCredential(credential), connection=connection
    ) as client:
        token = await client.login()
    if token:
        credential = Credential(credential.username, identity_token=token)
    return await options.logins().store(registry, credential)
