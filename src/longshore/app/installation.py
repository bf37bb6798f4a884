"""What all processes of one server share, and what is made ready before there are any."""

import asyncio
import secrets
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from longshore import migrations
from longshore.access.settings import AuthSettings
from longshore.audit.sealing import Sealing
from longshore.audit.settings import AuditSettings
from longshore.config.defaults import SYSTEM_DIRECTORY
from longshore.config.load import Configuration
from longshore.db.database import Connection, Database
from longshore.db.encryption import Encryption
from longshore.db.settings import DatabaseSettings, EncryptionSettings
from longshore.http.settings import HTTPSettings
from longshore.identity import install as identity
from longshore.identity.settings import AdminSettings
from longshore.ldap import install as ldap
from longshore.ldap.settings import LDAPSettings
from longshore.oci.errors import Unavailable
from longshore.quotas import install as quotas
from longshore.registry import store
from longshore.storage.backends import DEFAULT
from longshore.storage.settings import (
    BackendsSettings,
    FilesystemSettings,
    StorageSettings,
)
from longshore.workload import install as workload
from longshore.workload.settings import WorkloadSettings


@dataclass(frozen=True, slots=True)
class Installation:
    """What all workers of one server share: the configuration, where metadata lies, the secret that
    tokens are signed with, what decrypts secrets in the database, what seals the audit log, a directory for
    what they tell one another, and whether it is for development."""

    configuration: Configuration
    database_url: str
    secret: bytes
    encryption: Encryption
    sealing: Sealing
    shared: Path
    dev: bool = False

    @property
    def read_only(self) -> bool:
        return self.configuration[StorageSettings].maintenance.readonly.enabled


def database_url(configuration: Configuration) -> str:
    """Where metadata lies: as configured, or beside the bytes in the storage's directory, or, when
    they are in another place, in a directory of this machine."""
    url = configuration[DatabaseSettings].url
    if url is not None:
        return url.get_secret_value()
    parameters = configuration[StorageSettings].parameters
    if isinstance(parameters, FilesystemSettings):
        return f"sqlite:///{parameters.rootdirectory.absolute()}/longshore.db"
    if configuration[StorageSettings].is_remote:
        return f"sqlite:///{SYSTEM_DIRECTORY}/{parameters.place}.db"
    # Bytes in memory end with the process; so does what is known about them.
    return f"sqlite:///{tempfile.mkdtemp(prefix='longshore-')}/longshore.db"


def prepare(configuration: Configuration, shared: Path, *, dev: bool = False) -> Installation:
    """Bring the database to the newest schema and find the secret. Leaves no thread and no
    connection behind, so that the caller may fork. Raises Unavailable, StorageFull, or IdentityError
    for an administrator's password that is too easy."""
    url = database_url(configuration)
    database = Database(url, pool_size=1)
    database.open()
    try:
        migrations.upgrade(database)
        asyncio.run(_know_backends(configuration, database))
        kept = asyncio.run(database.write(_kept_secret))
        secret = configuration[HTTPSettings].secret.get_secret_value().encode()
        if not secret:
            secret = bytes.fromhex(kept)
        quotas.prepare(database, wanted=configuration[AuthSettings].longshore is not None)
        if configuration[AuthSettings].longshore is not None:
            ldap.check(configuration[LDAPSettings])
            workload.create(
                configuration[WorkloadSettings],
                secret=secret,
                host=configuration[HTTPSettings].host,
            )
            identity.prepare(database, configuration[AdminSettings].password.get_secret_value())
    finally:
        database.close()
    encryption, sealing = _encryption(configuration, kept), _sealing(configuration, kept)
    return Installation(configuration, url, secret, encryption, sealing, shared, dev)


def encryption(configuration: Configuration, database: Database) -> Encryption:
    """What decrypts secrets in the database, for commands. Blocks."""
    return _encryption(configuration, asyncio.run(database.write(_kept_secret)))


def _encryption(configuration: Configuration, kept: str) -> Encryption:
    """With the configured keys, and those that were used before there were any."""
    configured = [
        *configuration[EncryptionSettings].keys,
        configuration[HTTPSettings].secret,
    ]
    return Encryption([*filter(None, (key.get_secret_value() for key in configured)), kept])


def sealing(configuration: Configuration, database: Database) -> Sealing:
    """What seals the audit log, for commands. Blocks."""
    return _sealing(configuration, asyncio.run(database.write(_kept_secret)))


def _sealing(configuration: Configuration, kept: str) -> Sealing:
    """As for encryption, with a key of its own in front if there is one."""
    configured = [
        configuration[AuditSettings].sealkey,
        *configuration[EncryptionSettings].keys,
        configuration[HTTPSettings].secret,
    ]
    secrets = [*filter(None, (key.get_secret_value() for key in configured)), kept]
    return Sealing(secrets, kept)


def _kept_secret(connection: Connection) -> str:
    """The secret of this installation, made the first time that somebody asks."""
    found: str = store.remembered(connection, "secret", secrets.token_hex(32))
    return found


async def _know_backends(configuration: Configuration, database: Database) -> None:
    """Raises Unavailable when bytes lie in a backend that is not configured."""
    known = [DEFAULT, *configuration[BackendsSettings].backends]
    strange = await database.read(partial(store.other_backend, known=known))
    if strange is not None:
        raise Unavailable(
            f"blobs lie in a backend {strange!r} that longshore.storage.backends does not name: name "
            "it again, or, if it has another name now, run `longshore storage rename`"
        )
