"""What a provider publishes about itself: OpenID Connect Discovery 1.0, RFC 8414."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from longshore.openid.errors import ProviderUnavailable
from longshore.openid.web import check_named, shown

PATH: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """Endpoints that a provider does not have are empty."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""
    device_authorization_endpoint: str = ""
    end_session_endpoint: str = ""
    #: How clients prove who they are; ``client_secret_basic`` where a provider says nothing.
    token_endpoint_auth_methods: tuple[str, ...] = ("client_secret_basic",)
    #: RFC 9207: the provider says in every answer to the browser who it is.
    names_itself: bool = False


def parse(issuer: str, document: Mapping[str, Any]) -> ProviderMetadata:
    """The metadata in ``document``, which was found where ``issuer`` has it. Raises
    ProviderUnavailable when it is another's, or names addresses that must not be asked."""
    named = document.get("issuer")
    if named != issuer:
        raise ProviderUnavailable(
            f"{shown(issuer)}{PATH} is of the issuer {shown(str(named))}: write that one in the "
            "configuration if it is meant, letter by letter"
        )

    def address(name: str) -> str:
        value = document.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ProviderUnavailable(f"{shown(issuer)}: {name} is no text")
        check_named(issuer, value, name)
        return value

    jwks_uri = address("jwks_uri")
    if not jwks_uri:
        raise ProviderUnavailable(f"{shown(issuer)} names no keys (jwks_uri)")
    methods = document.get("token_endpoint_auth_methods_supported")
    known = [m for m in methods if isinstance(m, str)] if isinstance(methods, list) else []
    return ProviderMetadata(
        issuer,
        jwks_uri,
        address("authorization_endpoint"),
        address("token_endpoint"),
        address("userinfo_endpoint"),
        address("device_authorization_endpoint"),
        address("end_session_endpoint"),
        tuple(known) or ("client_secret_basic",),
        document.get("authorization_response_iss_parameter_supported") is True,
    )
