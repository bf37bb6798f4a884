"""The audit log, whole: what Harbor's lists have no room for."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Query
from fastapi.responses import StreamingResponse

from longshore.api.caller import in_system
from longshore.api.services import Services, Serving
from longshore.api.wire import JSON_REFUSALS, LARGEST_ID, Router
from longshore.audit.exporting import MEDIA_TYPE, Export

router = Router(tags=["auditlog"])

_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "One JSON object a line, the oldest row first.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


class JSONLines(StreamingResponse):
    """Lines as they are read."""

    media_type = MEDIA_TYPE


@router.get(
    "/audit/export",
    response_class=JSONLines,
    responses={**_LINES, **JSON_REFUSALS},
    dependencies=[in_system("audit-log", "list")],
)
async def export_audit_log(
    services: Serving,
    since: Annotated[datetime | None, Query(description="Not what is older.")] = None,
    until: Annotated[datetime | None, Query(description="Only what is older.")] = None,
    after: Annotated[
        int,
        Query(
            ge=0,
            le=LARGEST_ID,
            description="Only rows behind this id, such as the last one exported.",
        ),
    ] = 0,
) -> JSONLines:
    """Export the audit log as JSON lines, up to the row that is the newest when the export begins. Times without a
    zone are UTC."""
    export = Export(after, since=_posix(since), until=_posix(until))
    begun = await services.database.read(export.begun)
    headers = {
        "Content-Disposition": 'attachment; filename="audit.jsonl"',
        "Cache-Control": "no-store",
    }
    return JSONLines(_Written(begun, services).lines(), headers=headers)


@dataclass(frozen=True, slots=True)
class _Written:
    export: Export
    services: Services

    async def lines(self) -> AsyncIterator[bytes]:
        left = self.export
        while True:
            text, left = await self.services.database.read(left.next)
            if not text:
                return
            yield text


def _posix(at: datetime | None) -> float | None:
    if at is None:
        return None
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).timestamp()
