"""Logging in at another device: a code is shown here and typed in there (RFC 8628, by way of the registry,
which alone knows its OpenID provider)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import anyio
import httpx
import orjson

from longshore.client.credentials import Credential
from longshore.client.errors import NotSupported, ProtocolViolation, Unauthenticated
from longshore.client.transport import Transport
from longshore.client.wire import Ask

_BEGIN: Final = "/c/oidc/device"
_ASK: Final = "/c/oidc/device/token"
_ANSWERS: Final = frozenset({400, 401, 404, 405})
_LARGEST: Final = 64 * 1024
_SLOWER: Final = 5.0


@dataclass(frozen=True)
class Code:
    """What somebody has to type in, and where; `complete` is an address that holds the code."""

    user_code: str
    address: str
    complete: str


async def log_in(transport: Transport, provider: str, tell: Callable[[Code], None]) -> Credential:
    """Begin, `tell` the code, and wait for somebody to type it in.

    Raises NotSupported for a registry without OpenID providers, Unauthenticated when the login is
    refused or nobody logs in.
    """
    status, begun = await _post(transport, _BEGIN, {"provider": provider} if provider else {})
    if status in (404, 405):
        raise NotSupported(
            f"{transport.registry} offers no login at another device: it has no OpenID provider "
            "(longshore.oidc.providers)",
            status=status,
        )
    if status != httpx.codes.OK:
        raise _refused(transport, begun)
    tell(
        Code(
            *(
                _text(begun, key)
                for key in ("user_code", "verification_uri", "verification_uri_complete")
            )
        )
    )
    interval = max(0.1, _seconds(begun, "interval", 5.0))
    end = time.monotonic() + _seconds(begun, "expires_in", 600.0)
    handle = {"handle": _text(begun, "handle")}
    while time.monotonic() < end:
        await anyio.sleep(interval)
        status, answer = await _post(transport, _ASK, handle)
        if status == httpx.codes.OK:
            return Credential(
                _text(answer, "username"), identity_token=_text(answer, "identity_token")
            )
        match answer.get("error"):
            case "authorization_pending":
                pass
            case "slow_down":
                interval += _SLOWER
            case "expired_token":
                break
            case _:
                raise _refused(transport, answer)
    raise Unauthenticated(
        f"{transport.registry}: nobody logged in with that code in time; try again",
        status=401,
        code="UNAUTHORIZED",
    )


async def _post(
    transport: Transport, path: str, form: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    url = (await transport.base()).join(path)
    ask = Ask(
        "POST",
        url,
        {"Content-Type": "application/x-www-form-urlencoded"},
        urlencode(form).encode(),
        accept=_ANSWERS,
    )

    async def once() -> tuple[int, bytes]:
        async with transport.wire.send(ask, url) as response:
            await transport.wire.check(ask, response)
            return response.status_code, await transport.wire.read(response, _LARGEST)

    status, body = await transport.wire.attempts(once)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise ProtocolViolation(f"{transport.registry} answered {path} with no JSON object")
    return status, document


def _refused(transport: Transport, answer: dict[str, Any]) -> Unauthenticated:
    errors = answer.get("errors")
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    message = first.get("message")
    reason = message[:500] if isinstance(message, str) else str(answer.get("error"))[:100]
    return Unauthenticated(f"{transport.registry}: {reason}", status=401, code="UNAUTHORIZED")


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str) or (value and not value.isprintable()):
        raise ProtocolViolation(f"the registry sent no usable {key}")
    return value


def _seconds(document: dict[str, Any], key: str, otherwise: float) -> float:
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        return otherwise
    return float(value)
