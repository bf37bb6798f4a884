"""The body of a token request by POST: RFC 6749 sections 4.3 and 6, with the fields of the Docker protocol.

``grant_type=password`` with ``username`` and ``password``, or ``grant_type=refresh_token`` with
``refresh_token``; both with ``scope``, ``service``, ``client_id``, and ``access_type=offline`` when a
refresh token is wanted. Service and client are of consequence for refresh tokens only: there is one
service, and any client may ask.

Programs that prove themselves with a token of their platform (``longshore.workload``) may also exchange
it (RFC 8693), and go on with what they got: it is the password of the user ``oidc`` in other forms.
"""

from dataclasses import dataclass, replace
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
_MAX_NAME: Final = 200
_WITHOUT_LOGIN: Final = "to ask without a login use GET"
#: The user name of programs that prove themselves with a token of their platform.
WORKLOAD_USER: Final = "oidc"
#: What begins the credential that such a token was exchanged for.
WORKLOAD_PREFIX: Final = "lsw_"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
#: RFC 8693 section 3.
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
REFRESH_TOKEN: Final = "urn:ietf:params:oauth:token-type:refresh_token"  # noqa: S105 - a name
_SUBJECTS: Final = (
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
)


@dataclass(frozen=True, slots=True)
class Asking:
    """What a token request by GET or POST is about: scopes as they came, and what a refresh token is
    bound to if one is wanted (``offline``)."""

    scopes: tuple[str, ...] = ()
    service: str = ""
    client_id: str = ""
    offline: bool = False


@dataclass(frozen=True, slots=True)
class PasswordGrant:
    """Somebody asks with a password. ``exchange`` is the type of token that RFC 8693 was used to ask for,
    empty otherwise."""

    login: Login
    asking: Asking
    exchange: str = ""

    @property
    def value(self) -> bytes:
        """The Authorization header that says the same: what is remembered of a login counts for both."""
        return header.basic(self.login)


@dataclass(frozen=True, slots=True)
class RefreshGrant:
    """Somebody asks with what they were given instead of a password."""

    refresh_token: str
    asking: Asking


Grant = PasswordGrant | RefreshGrant


def read_query(request: Request) -> Asking:
    """What a token request by GET asks for."""
    query = request.query_params
    return Asking(
        tuple(query.getlist("scope")),
        _bounded(query.get("service", "")),
        _bounded(query.get("client_id", "")),
        query.get("offline_token", "").lower() in ("true", "1"),
    )


async def read_grant(request: Request) -> Grant:
    """The grant that ``request`` holds. Raises TokenRequestInvalid, and SizeInvalid when
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
    return _grant(_fields(body))


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


def _grant(fields: dict[str, list[str]]) -> Grant:
    kind = _one(fields, "grant_type")
    asking = Asking(
        tuple(fields.get("scope", ())),
        _bounded(_optional(fields, "service")),
        _bounded(_optional(fields, "client_id")),
        _optional(fields, "access_type") == "offline",
    )
    if kind == EXCHANGE:
        return _exchange(fields, asking)
    if kind == "refresh_token":
        token = _one(fields, "refresh_token")
        if token.startswith(WORKLOAD_PREFIX):
            return PasswordGrant(Login(WORKLOAD_USER, token.encode()), asking)
        return RefreshGrant(token, asking)
    if kind != "password":
        raise _invalid(
            "unsupported_grant_type",
            f"grant_type {refusals.shown(kind)} is not supported; use password, or {_WITHOUT_LOGIN}",
        )
    user, password = _one(fields, "username"), _one(fields, "password")
    if ":" in user or "\0" in user:
        # In a header a colon would make it another user's name, with the rest before the password.
        raise _invalid(
            "invalid_request",
            f"username {refusals.shown(user)} has a colon or the character NUL, which no user has",
        )
    return PasswordGrant(Login(user, password.encode()), asking)


def _exchange(fields: dict[str, list[str]], asking: Asking) -> PasswordGrant:
    """RFC 8693 section 2.1."""
    kind = _one(fields, "subject_token_type")
    if kind not in _SUBJECTS:
        raise _invalid(
            "invalid_request",
            f"subject_token_type {refusals.shown(kind)} cannot be exchanged; use {_SUBJECTS[0]}",
        )
    wanted = _optional(fields, "requested_token_type") or ACCESS_TOKEN
    if wanted not in (ACCESS_TOKEN, REFRESH_TOKEN):
        raise _invalid(
            "invalid_request",
            f"requested_token_type {refusals.shown(wanted)} is not given out; use {ACCESS_TOKEN} or "
            f"{REFRESH_TOKEN}",
        )
    login = Login(WORKLOAD_USER, _one(fields, "subject_token").encode())
    return PasswordGrant(login, replace(asking, offline=wanted == REFRESH_TOKEN), wanted)


def no_refresh_tokens(request: Request) -> TokenRequestInvalid:
    """For registries that have none."""
    return _invalid(
        "unsupported_grant_type",
        "this registry gives out no refresh tokens (identity tokens) and takes none; log in "
        f"with a user name and a password: docker login {refusals.host(request)}",
    )


def _bounded(text: str) -> str:
    """As much of what a client calls itself as is kept."""
    return text.replace("\0", "")[:_MAX_NAME]


def _optional(fields: dict[str, list[str]], name: str) -> str:
    return _one(fields, name) if name in fields else ""


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
