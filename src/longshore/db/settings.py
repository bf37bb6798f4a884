"""Settings of the metadata database."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from longshore.config.section import Section, setting


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
    poolsize: int = Field(default=8, description="Connections per worker process.", ge=1, le=1000)
