"""Settings of OpenID providers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, model_validator

from longshore.config.section import Section, Table, required, setting
from longshore.oidc import group_filter

#: The provider that Harbor's configuration keys describe: nobody else's name.
HARBOR: Final = "harbor"


class ProviderSettings(Table):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")] = required(
        "Its own name; accounts are linked under it, so it stays."
    )
    issuer: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] = required(
        "Its address, letter by letter as it says itself (issuer)."
    )
    clientid: Annotated[str, Field(min_length=1)] = required("What this registry is called there.")
    clientsecret: SecretStr = setting(SecretStr(""), "Its secret; empty for a public client.")
    scopes: tuple[str, ...] = setting(
        ("openid", "profile", "email"), "What it is asked for; groups often need one more."
    )
    userclaim: str = setting("preferred_username", "The claim that suggests a new user's name.")
    groupsclaim: str = setting("", "The claim that lists somebody's groups; empty: none count.")
    groupfilter: str = setting(
        "", "A regular expression (RE2); groups that do not match it are left out."
    )
    groupprefix: str = setting("", "What the names of its groups begin with here.")
    admingroup: str = setting("", "Who is in this group (without prefix) is an administrator.")
    cafile: Path | None = setting(None, "PEM file of certificates that are trusted as well.")
    verify: bool = setting(True, "Check its certificate; without, anybody may be the provider.")
    autoonboard: bool = setting(
        True,
        "Make users without asking; a name that is taken gets a number. Otherwise they choose.",
    )
    parameters: Mapping[str, str] = setting({}, "More parameters for its login page.")
    logout: bool = setting(True, "Logging out here ends the session there.")

    @property
    def account_name(self) -> str:
        """Under which accounts are linked to its people: that of Harbor's keys may become another provider any
        moment, whose subjects are not the same people."""
        return f"{self.name} {self.issuer}" if self.name == HARBOR else self.name

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if "openid" not in self.scopes:
            raise ValueError(
                "scopes lack openid, without which the provider does not say who it is"
            )
        try:
            group_filter.check(self.groupfilter)
        except ValueError as error:
            raise ValueError(f"groupfilter {error}") from error
        if self.admingroup and not self.groupsclaim:
            raise ValueError("admingroup has no effect without groupsclaim; name the claim")
        own = {"client_id", "response_type", "redirect_uri", "state", "nonce", "scope",
               "code_challenge", "code_challenge_method", "response_mode"}  # fmt: skip
        if taken := sorted(own & set(self.parameters)):
            raise ValueError(f"parameters may not hold {taken[0]!r}, which each login sets itself")
        return self


class OIDCSettings(Section):
    key = "longshore.oidc"

    providers: tuple[ProviderSettings, ...] = setting((), "Who is believed when somebody logs in.")

    @model_validator(mode="after")
    def _they_differ(self) -> Self:
        names = [provider.name for provider in self.providers]
        issuers = [(provider.issuer, provider.clientid) for provider in self.providers]
        if len(set(names)) < len(names) or len(set(issuers)) < len(issuers):
            raise ValueError("two providers are the same; each has its own name and client")
        prefixes = [found.groupprefix for found in self.providers if found.groupsclaim]
        if len(set(prefixes)) < len(prefixes):
            raise ValueError(
                "groups of two providers would be the same groups; give each its own groupprefix"
            )
        if HARBOR in names:
            raise ValueError(
                f"no provider here can be called {HARBOR!r}: that is the one of oidc_endpoint and the other "
                "keys of /api/v2.0/configurations"
            )
        return self
