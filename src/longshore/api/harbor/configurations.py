"""The configuration that administrators change while the registry runs."""

from typing import Annotated, Any

from fastapi import Body

from longshore.api.caller import Calling, in_system
from longshore.api.services import Serving
from longshore.api.wire import Empty, Router, Shape

router = Router(tags=["configure"])


class ConfigItem(Shape):
    """What a key has, and whether it can be changed here."""

    value: bool | int | str
    editable: bool


@router.get("/configurations", dependencies=[in_system("configuration", "read")])
async def get_configurations(services: Serving) -> dict[str, ConfigItem]:
    """Get every key but the secrets."""
    system = services.system
    return {
        name: ConfigItem(value=value, editable=system.is_editable(name))
        for name, value in (await system.values()).items()
    }


@router.put(
    "/configurations", response_class=Empty, dependencies=[in_system("configuration", "update")]
)
async def update_configurations(
    body: Annotated[dict[str, Any], Body()], caller: Calling, services: Serving
) -> Empty:
    """Change the keys that are given; the others stay."""
    change = services.system.change(body)
    if change.names:
        await services.changes.make(
            change,
            "update",
            "configuration",
            "system",
            description=f"changed: {', '.join(change.names)}",
            origin=caller.origin,
        )
        services.system.forget()
    return Empty()
