"""The provider that administrators describe while the registry runs: Harbor's keys ``oidc_*`` are one more
provider, :data:`longshore.oidc.settings.HARBOR`."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from longshore.config.wording import sentence
from longshore.oidc import group_filter
from longshore.oidc.settings import HARBOR, ProviderSettings

PREFIX: Final = "oidc_"
#: Fields of a provider -> Harbor's keys.
_KEYS: Final[Mapping[str, str]] = {
    "issuer": "oidc_endpoint",
    "clientid": "oidc_client_id",
    "scopes": "oidc_scope",
    "groupfilter": "oidc_group_filter",
    "parameters": "oidc_extra_redirect_parms",
}


def provider(
    values: Mapping[str, bool | int | str],
    secret: Callable[[str], str],
    configured: tuple[ProviderSettings, ...] = (),
) -> ProviderSettings | None:
    """The provider that values and secrets by their keys describe, beside those of config.yml; None when
    ``oidc_endpoint`` is empty. Raises ValueError when they describe none: the message names keys, and shows no
    secret."""
    endpoint = str(values["oidc_endpoint"]).strip()
    if not endpoint:
        return None
    scopes = tuple(filter(None, (word.strip() for word in str(values["oidc_scope"]).split(","))))
    if scopes and "openid" not in scopes:
        raise ValueError(
            "oidc_scope lacks openid, without which the provider does not say who it is"
        )
    try:
        group_filter.check(str(values["oidc_group_filter"]))
    except ValueError as error:
        raise ValueError(f"oidc_group_filter {error}") from error
    if values["oidc_admin_group"] and not values["oidc_groups_claim"]:
        raise ValueError("oidc_admin_group has no effect without oidc_groups_claim: name the claim")
    try:
        found = ProviderSettings(
            name=HARBOR,
            issuer=endpoint,
            clientid=str(values["oidc_client_id"]),
            clientsecret=SecretStr(secret("oidc_client_secret")),
            scopes=scopes or _default("scopes"),
            userclaim=str(values["oidc_user_claim"]) or _default("userclaim"),
            groupsclaim=str(values["oidc_groups_claim"]),
            groupfilter=str(values["oidc_group_filter"]),
            admingroup=str(values["oidc_admin_group"]),
            verify=bool(values["oidc_verify_cert"]),
            autoonboard=bool(values["oidc_auto_onboard"]),
            parameters=_parameters(str(values["oidc_extra_redirect_parms"])),
            logout=bool(values["oidc_logout"]),
        )
    except ValidationError as error:
        raise ValueError(_explained(error)) from error
    _differs(found, configured)
    return found


def _default(field: str) -> Any:
    return ProviderSettings.model_fields[field].default


def _parameters(text: str) -> dict[str, str]:
    found = _json_object(text)
    if not all(isinstance(value, str) for value in found.values()):
        raise ValueError("oidc_extra_redirect_parms: every value has to be a string")
    return dict(found)


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("oidc_extra_redirect_parms has to be empty or a JSON object")  # noqa: TRY004
    return found


def _differs(found: ProviderSettings, configured: tuple[ProviderSettings, ...]) -> None:
    """Raises ValueError."""
    for other in configured:
        if (other.issuer, other.clientid) == (found.issuer, found.clientid):
            raise ValueError(
                f"oidc_endpoint and oidc_client_id are those of {other.name!r} in config.yml already"
            )
        if found.groupsclaim and other.groupsclaim and not other.groupprefix:
            raise ValueError(
                f"oidc_groups_claim: its groups would be the same groups as those of {other.name!r}; give that "
                "one a groupprefix in config.yml"
            )


def _explained(error: ValidationError) -> str:
    problem = error.errors()[0]
    field = str(problem["loc"][0]) if problem["loc"] else ""
    said = sentence(problem, show=False)
    if not field:
        # A rule about several fields names them as config.yml does.
        return f"{PREFIX}*: {said}"
    return f"{_KEYS.get(field, PREFIX + field)}: {said}"
