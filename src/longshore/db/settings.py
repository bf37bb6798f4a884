"""Settings of the metadata database."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr

from longshore.config.section import Section, setting

_SHORTEST_KEY: Final = 32


def _url(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        scheme, separator, rest = value.get_secret_value().partition("://")
        known = scheme.partition("+")[0] in ("sqlite", "postgresql", "postgres")
        if not (known and separator and rest.strip("/")):
            raise ValueError(
                "this is no database URL; write sqlite:////path/to/longshore.db or "
                "postgresql://user:password@host/database"
            )
    return value


class DatabaseSettings(Section):
    key = "longshore.database"

    url: Annotated[SecretStr | None, AfterValidator(_url)] = setting(
        None,
        "sqlite:////path or postgresql://user:password@host/database. Not given: the file "
        "longshore.db in the storage's root directory.",
    )
    poolsize: int = Field(
        default=8,
        description="Connections per worker process; PostgreSQL has two more.",
        ge=1,
        le=1000,
    )


def _long_enough(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    for number, value in enumerate(values, 1):
        length = len(value.get_secret_value())
        if length < _SHORTEST_KEY:
            raise ValueError(
                f"key {number} has {length} characters and needs at least {_SHORTEST_KEY}; "
                "make one with: openssl rand -base64 32"
            )
    return values


class EncryptionSettings(Section):
    key = "longshore.encryption"

    keys: Annotated[tuple[SecretStr, ...], AfterValidator(_long_enough)] = setting(
        (),
        "Keys of the secrets in the database, 32 characters or more each: the first encrypts, all "
        "decrypt. Empty: made of http.secret, or of a secret that is kept in the database.",
    )
