"""One request and its reply, as logs and metrics see it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Exchange:
    """Filled while a request is handled; observers get it once, when the reply is complete.

    Times are seconds, sizes are body bytes. ``route`` is the name of the matched route (the
    ``handler`` label of distribution's metrics: base, manifest, tags, blob, blob_upload,
    blob_upload_chunk, catalog, ...). ``reason`` is the code of the refusal, or why it ended early.
    """

    request_id: str
    method: str
    path: str
    client: str = ""
    host: str = ""
    user_agent: str = ""
    route: str = "unmatched"
    repository: str = ""
    reference: str = ""
    user: str = ""
    status: int = 0
    received: int = 0
    sent: int = 0
    seconds: float = 0.0
    reason: str = ""
    message: str = ""


Observer = Callable[[Exchange], None]
"""Called on the event loop after each reply: must be quick and must not raise."""
