"""Settings of logs and health checks."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from longshore.config.quantities import Seconds
from longshore.config.section import GoName, Section, Table, required, setting


class LogLevel(StrEnum):
    """What is logged: this and everything more important."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a line of the log looks. Logstash is JSON with that program's field names."""

    TEXT = "text"
    JSON = "json"
    LOGSTASH = "logstash"


class AccessLogSettings(Table):
    disabled: bool = setting(False, "Write no line per request.")


class LogSettings(Section):
    key = "log"

    level: LogLevel = setting(LogLevel.INFO, "The least important messages that are written.")
    formatter: LogFormat = setting(LogFormat.TEXT, "How a line looks.")
    fields: Mapping[str, str] = setting({}, "Added to every line, such as service: registry.")
    reportcaller: bool = setting(False, "Say in which line of the program a message was made.")
    accesslog: AccessLogSettings = setting(AccessLogSettings(), "One line per request.")


_Threshold = Annotated[int, Field(ge=0)]
_Period = Annotated[Seconds, Field(gt=0)]


class StorageCheck(Table):
    enabled: bool = setting(False, "Ask the storage regularly whether it works.")
    interval: _Period = setting(10.0, "Time between two checks.")
    threshold: _Threshold = setting(0, "Failures in a row that make the registry unhealthy.")


class FileCheck(Table):
    file: str = required("While this file exists the registry is unhealthy.")
    interval: _Period = setting(10.0, "Time between two checks.")
    threshold: _Threshold = setting(0, "Failures in a row that make the registry unhealthy.")


class HTTPCheck(Table):
    uri: str = Field(description="URL that is asked with HEAD.", pattern=r"^https?://.")
    headers: Mapping[str, tuple[str, ...]] = setting({}, "Headers of the request.")
    statuscode: int = setting(200, "The status that means healthy.")
    timeout: _Period = setting(5.0, "How long to wait for the answer.")
    interval: _Period = setting(10.0, "Time between two checks.")
    threshold: _Threshold = setting(0, "Failures in a row that make the registry unhealthy.")


class TCPCheck(Table):
    addr: str = required("HOST:PORT that must accept a connection.")
    timeout: _Period = setting(5.0, "How long to wait for the connection.")
    interval: _Period = setting(10.0, "Time between two checks.")
    threshold: _Threshold = setting(0, "Failures in a row that make the registry unhealthy.")


class HealthSettings(Section):
    key = "health"

    storagedriver: StorageCheck = setting(StorageCheck(), "Check of the storage.")
    file: Annotated[tuple[FileCheck, ...], GoName("FileCheckers")] = setting(
        (), "Files that make the registry unhealthy, for taking it out of a load balancer."
    )
    http: Annotated[tuple[HTTPCheck, ...], GoName("HTTPCheckers")] = setting(
        (), "Other services that must answer."
    )
    tcp: Annotated[tuple[TCPCheck, ...], GoName("TCPCheckers")] = setting(
        (), "Other services that must accept connections."
    )
