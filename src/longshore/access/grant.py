"""The body of a token request by POST: RFC 6749 section 4.3, with the fields of the Docker protocol.

``grant_type=password`` with ``username``, ``password``, ``scope``, ``service`` and ``client_id``. The
last two are of no consequence, as with GET: there is one service, and any client may ask.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from longshore.access import header, refusals
from longshore.access.header import Login
from longshore.http.request import Request
from longshore.oci.errors import TokenRequestInvalid

MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
#: Bytes of a body that are read; as many as a request's head may have for GET.
MAX_LENGTH: Final = 64 * 1024
_MAX_FIELDS: Final = 200
_WITHOUT_LOGIN: Final = "to ask without a login use GET"


@dataclass(frozen=True, slots=True)
class PasswordGrant:
    """Who asks, and for which scopes, as they came."""

    login: Login
    scopes: tuple[str, ...]

    @property
    def value(self) -> bytes:
        """The Authorization header that says the same: what is remembered of a login counts for both."""
        return header.basic(self.login)


async def read_grant(request: Request) -> PasswordGrant:
    """The password grant that ``request`` holds. Raises TokenRequestInvalid, and SizeInvalid when
    the client goes away before the end of the body."""
    found = request.headers.get("content-type", "")
    if found.partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise _invalid(
            "invalid_request",
            f"the Content-Type of a token request is {MEDIA_TYPE}, not {refusals.shown(found)}",
        )
    body = await request.read(MAX_LENGTH)
    if body is None:
        raise _invalid(
            "invalid_request",
            f"the token request has more than {MAX_LENGTH} bytes: ask for fewer scopes",
        )
    return _password_grant(request, _fields(body))


def _fields(body: bytes) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(body.decode("utf-8"), max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise _invalid(
            "invalid_request",
            f"the token request is not a form of at most {_MAX_FIELDS} fields in UTF-8",
        ) from error
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def _password_grant(request: Request, fields: dict[str, list[str]]) -> PasswordGrant:
    kind = _one(fields, "grant_type")
    if kind == "refresh_token":
        raise _invalid(
            "unsupported_grant_type",
            "this registry gives out no refresh tokens (identity tokens) and takes none; log in "
            f"with a user name and a password: docker login {refusals.host(request)}",
        )
    if kind != "password":
        raise _invalid(
            "unsupported_grant_type",
            f"grant_type {refusals.shown(kind)} is not supported; use password, or {_WITHOUT_LOGIN}",
        )
    user, password = _one(fields, "username"), _one(fields, "password")
    if ":" in user:
        # In a header it would be another user's name, with the rest before the password.
        raise _invalid(
            "invalid_request", f"username {refusals.shown(user)} has a colon, which no user has"
        )
    return PasswordGrant(Login(user, password.encode()), tuple(fields.get("scope", ())))


def _one(fields: dict[str, list[str]], name: str) -> str:
    values = fields.get(name, [])
    if len(values) == 1:
        return values[0]
    fault = "is given more than once" if values else f"is missing; {_WITHOUT_LOGIN}"
    raise _invalid("invalid_request", f"{name} {fault}")


def _invalid(error: str, message: str) -> TokenRequestInvalid:
    """``error`` is the code of RFC 6749 section 5.2."""
    return TokenRequestInvalid(
        message,
        detail={"error": error},
        headers={"Cache-Control": "no-store"},
    )
