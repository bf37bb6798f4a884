"""distribution's keys that are not simply honoured, each with what happens to it and why.

Keys that no row names and no section declares are unknown, and stop the start. ``[v2]`` in a comment
marks what only registry 2.x has. A key that becomes a setting loses its row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Status(StrEnum):
    """What happens to a key."""

    WARNED = "accepted, without effect"
    REFUSED = "refused"
    DEVELOPMENT = "refused without --dev"
    MOVED = "moved"


def is_set(value: Any) -> bool:
    """Whether anything in ``value`` (dicts, lists, scalars) says more than "nothing"."""
    if isinstance(value, dict):
        return any(is_set(inner) for inner in value.values())
    if isinstance(value, list):
        return any(is_set(inner) for inner in value)
    return value not in (None, False, "", 0)


def _is_given(value: Any) -> bool:
    return value is not None


def _has_active(value: Any) -> bool:
    """Whether a list of tables has one that is not ``disabled``."""
    if not isinstance(value, list):
        return is_set(value)
    return any(not (isinstance(item, dict) and item.get("disabled") is True) for item in value)


@dataclass(frozen=True, slots=True)
class Row:
    """``key`` (dotted) and the ``keys`` below it.

    ``keys`` are separated by spaces; ``[]`` behind a name marks a list, in front of every one that
    the key itself is a list; ``a=B`` is a key whose name in distribution's source is B. ``matters`` decides by the plain value whether there is anything to
    say. ``chooses`` marks a word that would choose what its table is. ``to`` is where a moved key
    went.
    """

    key: str
    status: Status
    reason: str
    keys: str = ""
    matters: Callable[[Any], bool] = is_set
    chooses: bool = False
    to: str = ""


def _always(_value: Any) -> bool:
    return True


_S3: Final = (
    "accesskey secretkey sessiontoken region regionendpoint redirectendpoint forcepathstyle "
    "accelerate bucket encrypt keyid secure skipverify v4auth chunksize multipartcopychunksize "
    "multipartcopymaxconcurrency multipartcopythresholdsize rootdirectory storageclass objectacl "
    "usedualstack usefipsendpoint useragent loglevel"
)

ROWS: Final[tuple[Row, ...]] = (
    Row("loglevel", Status.MOVED, "is the old name of log.level; write that", to="log.level"),
    Row(
        "log.hooks",
        Status.WARNED,
        "no mail is sent about log messages; let what collects the logs raise alarms",
        "[].type [].disabled [].levels[] [].options=MailOptions.smtp.addr "
        "[].options=MailOptions.smtp.username [].options=MailOptions.smtp.password "
        "[].options=MailOptions.smtp.insecure [].options=MailOptions.from "
        "[].options=MailOptions.to[]",
        matters=_has_active,
    ),
    Row(
        "storage.s3.loglevel",
        Status.WARNED,
        "the SDK's own log is not kept; log.level: debug shows requests to the storage",
    ),
    Row(
        "storage.azure.connectionstring",
        Status.REFUSED,
        "write what it says as accountname, accountkey and, where it names one, serviceurl",
    ),
    Row(
        "storage.azure.copy_status_poll_max_retry",
        Status.WARNED,
        "copies end with the request that asks for them; max_retries counts repeated requests",
    ),
    Row(
        "storage.azure.copy_status_poll_delay",
        Status.WARNED,
        "copies end with the request that asks for them; retry_delay is the wait before a repetition",
    ),
    Row(
        "storage.s3aws",
        Status.REFUSED,
        "is the driver s3 under its old name; write storage.s3",
        _S3,
        _always,
        chooses=True,
    ),
    Row(
        "storage.cache",
        Status.WARNED,
        "not needed: Longshore keeps a cache of its own, which is never stale",
        "blobdescriptor blobdescriptorsize layerinfo",
    ),
    Row(
        "storage.tag",
        Status.WARNED,
        "not needed: tags are read from the database, not from the storage",
        "concurrencylimit",
    ),
    Row(
        "auth.silly",
        Status.DEVELOPMENT,
        "lets in everybody who sends an Authorization header, whatever it says; it is for "
        "development only: start with --dev, or use auth.htpasswd",
        matters=_always,
    ),
    Row(
        "middleware.registry",
        Status.REFUSED,
        "middleware of the registry cannot be loaded; set disabled: true or remove it",
        "[].name [].disabled [].options",
        matters=_has_active,
    ),
    Row(
        "middleware.repository",
        Status.REFUSED,
        "middleware of repositories cannot be loaded; set disabled: true or remove it",
        "[].name [].disabled [].options",
        matters=_has_active,
    ),
    Row(  # [v2]
        "reporting",
        Status.WARNED,
        "no reports are sent to third parties",
        "bugsnag.apikey bugsnag.releasestage bugsnag.endpoint "
        "newrelic.licensekey newrelic.name newrelic.verbose",
    ),
    Row(
        "http.tls.ciphersuites",
        Status.WARNED,
        "the server's own list of cipher suites is used, all of them with forward secrecy; "
        "to be stricter write http.tls.minimumtls: tls1.3",
    ),
    Row(
        "http.tls.letsencrypt",
        Status.REFUSED,
        "certificates cannot be fetched yet; write http.tls.certificate and key, and renew them "
        "with an ACME client (they are reloaded when they change)",
        "cachefile email hosts[] directoryurl",
    ),
    Row(
        "http.http2",
        Status.WARNED,
        "HTTP/2 is not offered, because uploads are slower over it",
        "disabled",
        matters=lambda value: isinstance(value, dict) and value.get("disabled") is False,
    ),
    Row("http.h2c", Status.WARNED, "HTTP/2 is not offered without TLS either", "enabled"),
    Row(
        "redis",
        Status.WARNED,
        "not needed: what processes share is in the database",
        "addrs[] clientname protocol username password db sentinelusername sentinelpassword "
        "mastername maxretries minretrybackoff maxretrybackoff dialtimeout readtimeout "
        "writetimeout poolfifo poolsize pooltimeout minidleconns maxidleconns maxactiveconns "
        "connmaxidletime connmaxlifetime readonly routebylatency routerandomly tls.certificate "
        "tls.key tls.rootcas[] "
        "addr tls.enabled pool.maxidle pool.maxactive pool.idletimeout",  # [v2]
    ),
    Row(
        "proxy",
        Status.REFUSED,
        "a pull-through cache is not built yet, and an empty registry in its place would answer "
        "every pull with 404; remove it",
        "remoteurl username password exec.command exec.lifetime ttl cachewritetimeout",
        matters=lambda value: is_set(value.get("remoteurl") if isinstance(value, dict) else value),
    ),
    Row(
        "validation.enabled",
        Status.WARNED,
        "validation is on unless validation.disabled is true; this key is not needed",
        matters=_is_given,
    ),
    Row(
        "policy.repository.classes",
        Status.REFUSED,
        "what a repository may hold cannot be restricted yet, and nothing would be; remove it",
    ),
    Row(  # [v2]
        "compatibility.schema1",
        Status.WARNED,
        "manifests of schema version 1 are refused; rebuild or re-push such images",
        "trustkey signingkeyfile enabled",
    ),
)
