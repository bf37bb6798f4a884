"""What a server says about itself when it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import longshore
from longshore.access.settings import AccessSettings, AuthSettings
from longshore.app import Installation
from longshore.config.load import Configuration
from longshore.db.settings import DatabaseSettings
from longshore.http.server import ServerFailed, ServerOptions
from longshore.http.server.engines import choose
from longshore.http.server.sockets import parse_address
from longshore.http.settings import HTTPSettings
from longshore.http.tls import ClientAuthentication
from longshore.ldap.settings import LDAPSettings
from longshore.storage.settings import BackendsSettings, StorageSettings


@dataclass(frozen=True, slots=True)
class Summary:
    """``facts`` are short names and values; ``host`` is how a client on this machine calls it."""

    facts: Mapping[str, str]
    warnings: Sequence[str]
    host: str

    def text(self) -> str:
        """For a person at a terminal."""
        width = max(map(len, self.facts))
        lines = [f"Longshore {longshore.__version__}", ""]
        lines += [f"  {name:<{width}}  {value}" for name, value in self.facts.items()]
        if self.warnings:
            lines += ["", *(f"  warning: {warning}" for warning in self.warnings)]
        if self.host:
            lines += [
                "",
                "Try it:",
                f"  docker tag alpine {self.host}/alpine && docker push {self.host}/alpine",
                f"  docker pull {self.host}/alpine",
            ]
        return "\n".join([*lines, ""])


def summarize(
    configuration: Configuration, installation: Installation, options: ServerOptions
) -> Summary:
    """Raises ServerFailed when the address is none."""
    http = configuration[HTTPSettings]
    # Docker knows no registries below a path.
    host = "" if options.unix else _local_host(options.address)
    facts = {
        "address": _address(options),
        "storage": _storage(configuration[StorageSettings]),
        **_more_storage(configuration[BackendsSettings]),
        "database": _database(installation.database_url),
        "login": _login(configuration),
        "tls": _tls(options),
        "mode": _mode(configuration[StorageSettings]),
        "workers": f"{options.processes} ({choose(options).value})",
    }
    if http.debug.addr:
        path = http.debug.prometheus.path if http.debug.prometheus.enabled else "/debug/health"
        facts["debug"] = f"http://{_local_host(http.debug.addr)}{path}"
    facts["configuration"] = str(configuration.source or "built in, and the environment")
    warnings = [*map(str, configuration.warnings), *_warnings(configuration, options)]
    return Summary(facts, warnings, "" if http.prefix else host)


def _local_host(address: str) -> str:
    """How a client on this machine reaches ``address``."""
    host, port = parse_address(address)
    named = host if host not in ("", "0.0.0.0", "::") else "localhost"  # noqa: S104 - compared only
    return f"[{named}]:{port}" if ":" in named else f"{named}:{port}"


def _address(options: ServerOptions) -> str:
    if options.unix:
        return f"unix:{options.address}"
    host, _ = parse_address(options.address)
    where = "" if host else " (every interface)"
    return f"{options.scheme}://{_local_host(options.address)}{where}"


def _storage(settings: StorageSettings) -> str:
    if settings.driver == "filesystem":
        return f"filesystem {settings.where}"
    return settings.where if settings.is_remote else settings.driver


def _more_storage(settings: BackendsSettings) -> dict[str, str]:
    named = [f"{name} ({backend.where})" for name, backend in settings.backends.items()]
    return {"backends": ", ".join(named)} if named else {}


def _database(url: str) -> str:
    """Where it lies, without user and password."""
    parts = urlsplit(url)
    kind = parts.scheme.partition("+")[0]
    if kind == "sqlite":
        return f"sqlite {parts.path.replace('//', '/', 1)}"
    port = f":{parts.port}" if parts.port else ""
    return f"{kind} {parts.hostname or 'localhost'}{port}{parts.path}"


def _login(configuration: Configuration) -> str:
    auth, access = configuration[AuthSettings], configuration[AccessSettings]
    if auth.htpasswd is not None:
        anonymous = "; anonymous pull" if access.anonymouspull else ""
        return f"htpasswd {auth.htpasswd.path}{anonymous}"
    if auth.token is not None:
        return f"tokens of {auth.token.issuer}"
    if auth.longshore is not None:
        names = [server.name for server in configuration[LDAPSettings].servers]
        directories = f"; LDAP servers {', '.join(names)}" if names else ""
        return f"users and projects of the database{directories}"
    return "silly" if auth.silly is not None else "none: everybody may pull and push"


def _tls(options: ServerOptions) -> str:
    if options.tls is None:
        return "off"
    clients = {
        ClientAuthentication.NONE: "",
        ClientAuthentication.IF_GIVEN: "; certificates of clients are verified",
        ClientAuthentication.REQUIRED: "; clients need a certificate",
    }[options.tls.client_authentication]
    return f"{options.tls.certificate} ({options.tls.minimum.value} or newer{clients})"


def _mode(settings: StorageSettings) -> str:
    if settings.maintenance.readonly.enabled:
        return "read only"
    return "read and write" + ("" if settings.delete.enabled else "; deleting is off")


def _warnings(configuration: Configuration, options: ServerOptions) -> list[str]:
    found = []
    if configuration[LDAPSettings].servers and configuration[AuthSettings].longshore is None:
        found.append("longshore.ldap.servers has no effect without auth.longshore")
    open_to_all = configuration[AuthSettings].method == "none" and not options.unix
    if open_to_all and not _loopback(options.address):
        delete = " and delete" if configuration[StorageSettings].delete.enabled else ""
        found.append(
            f"anybody who reaches this address may push{delete}; set auth.htpasswd, or listen "
            "on 127.0.0.1"
        )
    if configuration[AuthSettings].silly is not None:
        found.append("auth.silly believes every login; use it for development only")
    if configuration[StorageSettings].driver == "inmemory":
        found.append("everything is in memory and is gone when the server stops")
    if configuration[StorageSettings].is_remote and configuration[DatabaseSettings].url is None:
        found.append(
            "only this machine has the metadata of what lies in the storage: keep its directory, or "
            "name a database in longshore.database.url (PostgreSQL when several machines serve)"
        )
    exposed = not (options.unix or options.tls or _loopback(options.address))
    if configuration[AuthSettings].method in {"htpasswd", "longshore"} and exposed:
        found.append("passwords travel unencrypted unless a proxy in front speaks TLS")
    return found


def _loopback(address: str) -> bool:
    try:
        host, _ = parse_address(address)
    except ServerFailed:
        return False
    return host == "localhost" or host == "::1" or host.startswith("127.")
