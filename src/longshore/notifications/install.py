"""Puts the endpoints together."""

from longshore.config.load import Configuration
from longshore.db.database import Database
from longshore.http.settings import HTTPSettings
from longshore.notifications.endpoint import Endpoint, no_references
from longshore.notifications.references import StoredReferences
from longshore.notifications.settings import NotificationsSettings
from longshore.storage.backends import Backends


def endpoints(
    configuration: Configuration, database: Database, backends: Backends
) -> list[Endpoint]:
    """A listener for each endpoint that is not disabled."""
    settings, http = configuration[NotificationsSettings], configuration[HTTPSettings]
    wanted = settings.events.includereferences
    references = StoredReferences(database, backends) if wanted else no_references
    return [
        Endpoint(
            endpoint,
            base=http.host,
            prefix=http.prefix,
            address=http.addr if http.net == "tcp" else "",
            references=references,
        )
        for endpoint in settings.active
    ]
