"""Every key that administrators set while the registry runs: Harbor's names, types, bounds and defaults
(harbor ``src/lib/config/metadata``)."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from longshore.system.errors import SettingInvalid, SettingMistyped

Value = bool | int | str

#: As longshore.identity.model.ROBOT, which lies above this package.
ROBOT: Final = "robot+"
_LONGEST: Final = 4096
#: JSON may hold one, UTF-8 not: whoever is to be shown it would get nothing at all.
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LARGEST: Final = 2**53
_DAY_MINUTES: Final = 1440
_YEAR_MINUTES: Final = 366 * _DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Key:
    """One of them. ``default`` has the type that values have; ``check`` raises ValueError with what a value
    has to be. ``secret``: never shown."""

    name: str
    default: Value
    check: Callable[[Value], None] | None = None
    secret: bool = False

    def checked(self, value: object) -> Value:
        """``value``, if the key may have it. Raises SettingMistyped, SettingInvalid."""
        wanted = type(self.default)
        if type(value) is not wanted or not isinstance(value, bool | int | str):
            raise SettingMistyped(f"{self.name} has to be {_TYPES[wanted]}")
        if isinstance(value, str) and (len(value) > _LONGEST or "\0" in value):
            raise SettingInvalid(f"{self.name} is longer than {_LONGEST} characters or holds a NUL")
        if isinstance(value, str) and _SURROGATE.search(value):
            raise SettingInvalid(
                f"{self.name} holds half of a surrogate pair (U+D800 to U+DFFF), which is no character"
            )
        if self.check is not None:
            try:
                self.check(value)
            except ValueError as error:
                shown = "" if self.secret else f" is {value!r:.100}, and"
                raise SettingInvalid(f"{self.name}{shown} has to be {error}") from error
        return value


_TYPES: Final[Mapping[type, str]] = {bool: "true or false", int: "a whole number", str: "a string"}


def _between(least: int, most: int) -> Callable[[Value], None]:
    def check(value: Value) -> None:
        if not least <= int(value) <= most:
            raise ValueError(f"from {least} to {most}")

    return check


def _amount(value: Value) -> None:
    if not (value == -1 or 0 < int(value) <= _LARGEST):
        raise ValueError(f"-1 (any number) or from 1 to {_LARGEST} bytes")


def _one_of(*words: Value) -> Callable[[Value], None]:
    def check(value: Value) -> None:
        if value not in words:
            raise ValueError(f"one of {', '.join(str(word) for word in words)}")

    return check


def _url(*schemes: str) -> Callable[[Value], None]:
    def check(value: Value) -> None:
        if value:
            try:
                parts = urlsplit(str(value))
                fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(f"empty or a URL that begins with {' or '.join(schemes)}")

    return check


def _json_object(value: Value) -> None:
    try:
        found = json.loads(str(value) or "{}")
    except (ValueError, RecursionError):  # the latter for what is nested too deeply
        found = None
    if not isinstance(found, dict):
        raise ValueError("empty or a JSON object")  # noqa: TRY004 - of a checked value


def _prefix(value: Value) -> None:
    if not re.fullmatch(r"[A-Za-z0-9$+._-]{1,32}", str(value)):
        raise ValueError("1 to 32 letters, digits and $ + . _ -")


def _robot_prefix(value: Value) -> None:
    # No user's name has a $ or begins with "robot+": a login is a robot's or a user's, never either.
    if value != ROBOT and not re.fullmatch(r"[A-Za-z0-9+._-]{0,31}\$", str(value)):
        raise ValueError(f"{ROBOT}, or up to 31 letters, digits and + . _ - with a $ behind them")


_SCOPES: Final = _one_of(0, 1, 2)

KEYS: Final[Mapping[str, Key]] = {
    key.name: key
    for key in (
        Key("auth_mode", "db_auth", _one_of("db_auth", "ldap_auth", "oidc_auth")),
        Key("primary_auth_mode", False),
        Key("project_creation_restriction", "everyone", _one_of("everyone", "adminonly")),
        Key("self_registration", False),
        Key("read_only", False),
        Key("token_expiration", 30, _between(1, _DAY_MINUTES)),
        Key("robot_token_duration", 30, _between(1, 36500)),
        Key("robot_name_prefix", ROBOT, _robot_prefix),
        Key("robot_scanner_name_prefix", "scanner", _prefix),
        Key("notification_enable", True),
        Key("quota_per_project_enable", True),
        Key("storage_per_project", -1, _amount),
        Key("session_timeout", 60, _between(1, _YEAR_MINUTES)),
        Key("audit_log_forward_endpoint", ""),
        Key("skip_audit_log_database", False),
        Key("disabled_audit_log_event_types", ""),
        Key("scanner_skip_update_pulltime", False),
        Key("banner_message", "", _json_object),
        Key("ldap_url", "", _url("ldap", "ldaps")),
        Key("ldap_base_dn", ""),
        Key("ldap_search_dn", ""),
        Key("ldap_search_password", "", secret=True),
        Key("ldap_uid", "cn"),
        Key("ldap_filter", ""),
        Key("ldap_scope", 2, _SCOPES),
        Key("ldap_timeout", 5, _between(1, 60)),
        Key("ldap_verify_cert", True),
        Key("ldap_group_base_dn", ""),
        Key("ldap_group_search_filter", ""),
        Key("ldap_group_attribute_name", ""),
        Key("ldap_group_search_scope", 2, _SCOPES),
        Key("ldap_group_admin_dn", ""),
        Key("ldap_group_membership_attribute", "memberof"),
        Key("ldap_group_attach_parallel", False),
        Key("oidc_name", ""),
        Key("oidc_endpoint", "", _url("https", "http")),
        Key("oidc_client_id", ""),
        Key("oidc_client_secret", "", secret=True),
        Key("oidc_scope", ""),
        Key("oidc_groups_claim", ""),
        Key("oidc_admin_group", ""),
        Key("oidc_group_filter", ""),
        Key("oidc_user_claim", ""),
        Key("oidc_verify_cert", True),
        Key("oidc_auto_onboard", False),
        Key("oidc_extra_redirect_parms", "{}", _json_object),
        Key("oidc_logout", False),
    )
}
