"""How a package declares what it wants to be told.

A section is a frozen pydantic model with the path of its key in config.yml; its fields carry the
keys' own names, a default and one line of help::

    class DebugSettings(Table):
        addr: str = setting("", "Address of the debug server; empty: none.")


    class HTTPSettings(Section):
        key = "http"

        addr: str = setting(":5000", "Address to listen on.")
        debug: DebugSettings = setting(DebugSettings(), "Metrics and health on their own address.")

Field types: ``bool int float str Path SecretStr``, enumerations and ``Literal``, ``Seconds`` and
``Size`` (:mod:`longshore.config.quantities`), ``Recurring`` (:mod:`longshore.config.recurrence`),
``| None`` of these, ``tuple[X, ...]``, ``Mapping[str, X]`` and other tables. A rule about several fields is a model validator; its
ValueError is shown behind the table's key, so it begins with what is wrong.

The loader, the environment variables, ``config explain``, the JSON Schema and the reference page
are all made from these declarations. Nothing else has to be edited to add a setting.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Table(BaseModel):
    """One level of config.yml: its fields are the keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # A start-up must not pay for the tables it never validates.
        defer_build=True,
        hide_input_in_errors=True,
    )

    #: Keys of which exactly one chooses what the table is (a storage driver, a kind of login).
    #: The table may then also be written as that one word: ``auth: none``.
    one_of: ClassVar[tuple[str, ...]] = ()


class Section(Table):
    """A table that a package owns, at ``key`` (dotted, such as ``longshore.database``)."""

    key: ClassVar[str]


@dataclass(frozen=True, slots=True)
class GoName:
    """In ``Annotated``: the field's name in distribution's source, where that is not its key.

    Environment variables spell keys like that: ``health.file`` is ``REGISTRY_HEALTH_FILECHECKERS``.
    """

    name: str


def setting(default: T, help: str) -> T:
    """A field that need not be given. ``help`` is one line for the reference page."""
    field: T = Field(default, description=help)
    return field


def required(help: str) -> Any:
    """A field that must be given wherever its table is."""
    return Field(description=help)
