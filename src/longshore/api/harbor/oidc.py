"""OpenID providers: whether one answers."""

from typing import Annotated

from pydantic import Field

from longshore.api.caller import in_system
from longshore.api.errors import BadRequest
from longshore.api.wire import Empty, Router, Shape
from longshore.openid.errors import ProviderUnavailable
from longshore.openid.provider import Provider
from longshore.openid.web import Web

router = Router(tags=["oidc"])


class OIDCPing(Shape):
    """A provider to be tried: its issuer, and whether its certificate is checked."""

    url: Annotated[str, Field(max_length=2048)] = ""
    verify_cert: bool = True


@router.post(
    "/system/oidc/ping", response_class=Empty, dependencies=[in_system("configuration", "update")]
)
async def ping_oidc(body: OIDCPing) -> Empty:
    """Asks for its metadata and its keys; 400 says what was wrong."""
    provider = Provider(body.url, Web(verify=body.verify_cert, seconds=5.0))
    try:
        await provider.try_out()
    except ProviderUnavailable as error:
        raise BadRequest(str(error)) from error
    finally:
        await provider.close()
    return Empty()
