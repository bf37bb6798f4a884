"""What ``longshore.background`` calls: the receivers that the configuration names."""

from typing import cast

from longshore.audit.forwarding import AuditForward, Receiver
from longshore.audit.settings import ForwardSettings
from longshore.audit.syslog import Syslog, Transport
from longshore.audit.webhook_signature import signing_key
from longshore.db.database import Database


def forward(database: Database, settings: ForwardSettings) -> AuditForward:
    """The task that sends rows to one receiver."""
    receiver = _webhook(settings) if settings.is_webhook else _syslog(settings)
    return AuditForward(database, settings.name, receiver, settings.place)


def _syslog(settings: ForwardSettings) -> Receiver:
    return Syslog(
        cast("Transport", settings.parts.scheme),
        settings.parts.hostname or "",
        settings.port,
        settings.facility,
        settings.framing,
        settings.timeout,
        settings.cafile,
        settings.certificate,
        settings.key,
    )


def _webhook(settings: ForwardSettings) -> Receiver:
    # Only who has one pays for the library that posts.
    from longshore.audit.webhook import Webhook

    pair = None
    if settings.certificate is not None and settings.key is not None:
        pair = settings.certificate, settings.key
    return Webhook(
        settings.url.get_secret_value(),
        signing_key(settings.secret.get_secret_value()),
        {name: value.get_secret_value() for name, value in settings.headers.items()},
        settings.timeout,
        authority=settings.cafile,
        certificate=pair,
    )
