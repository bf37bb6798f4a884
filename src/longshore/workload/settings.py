"""Settings of workload identity."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from longshore.config.quantities import Seconds
from longshore.config.section import Section, Table, required, setting
from longshore.oci.patterns import PatternInvalid, compile_pattern

Preset = Literal["github", "gitlab", "kubernetes"]

GITHUB: Final = "https://token.actions.githubusercontent.com"
GITLAB: Final = "https://gitlab.com"
#: What stands for a claim in a repository.
PLACEHOLDER: Final = re.compile(r"\{([A-Za-z0-9_./-]+)\}")
#: Claims that say whose pipeline it is. These platforms sign tokens for everybody in the world, so a rule
#: without any of them would let in everybody.
WHOSE: Final[Mapping[str, frozenset[str]]] = {
    "github": frozenset(
        ("sub", "repository", "repository_id", "repository_owner", "repository_owner_id",
         "enterprise", "enterprise_id", "job_workflow_ref")
    ),
    "gitlab": frozenset(
        ("sub", "project_path", "project_id", "namespace_path", "namespace_id")
    ),
    "kubernetes": frozenset(("sub", "namespace")),
}  # fmt: skip


class RuleSettings(Table):
    claims: Mapping[str, str] = required(
        "Claim -> pattern; all must fit. * is anything but a slash, ** is anything."
    )
    repositories: Annotated[tuple[str, ...], Field(min_length=1)] = required(
        "Repositories, as in longshore.access.rules; {claim} is the value of a claim, in lower case."
    )
    actions: Annotated[tuple[Literal["pull", "push", "delete"], ...], Field(min_length=1)] = (
        setting(("pull",), "What may be done there; push includes pull.")
    )
    lifetime: Annotated[Seconds, Field(ge=60, le=86_400)] = setting(
        3600.0,
        "How long a login lasts, from 1m to 24h. It can begin as long as the token is valid.",
    )

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        if not self.claims:
            raise ValueError("claims is empty, which would let in everybody; name what must fit")
        for pattern in self.repositories:
            try:
                compile_pattern(PLACEHOLDER.sub("x", pattern))
            except PatternInvalid as error:
                raise ValueError(f"repositories: {error}") from error
            if "{" in PLACEHOLDER.sub("", pattern):
                raise ValueError(f"repositories: {pattern!r} has a brace that names no claim")
        return self


class IssuerSettings(Table):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")] = required(
        "Its own name, in messages and in the audit log."
    )
    preset: Preset | None = setting(None, "What is known of the platform.")
    issuer: str = setting("", "Who signs, exactly as tokens say it (iss); presets know theirs.")
    jwksuri: str = setting("", "Where its keys are, if discovery is not to be asked.")
    jwks: Path | None = setting(None, "A file with its keys, if it cannot be reached from here.")
    ca: Path | None = setting(None, "PEM file of certificates that are trusted as well.")
    rules: Annotated[tuple[RuleSettings, ...], Field(min_length=1)] = required(
        "What its tokens allow; all rules that fit count together."
    )

    @property
    def url(self) -> str:
        """The issuer, with what the preset knows."""
        known = {"github": GITHUB, "gitlab": GITLAB}
        return self.issuer or known.get(self.preset or "", "")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.url.startswith(("https://", "http://")):
            raise ValueError("issuer is missing; write the address that its tokens name (iss)")
        if self.jwks is not None and self.jwksuri:
            raise ValueError("jwks and jwksuri are both given; keys come from one place")
        whose = WHOSE.get(self.preset or "", frozenset())
        for number, rule in enumerate(self.rules, 1):
            named = [claim for claim in rule.claims if claim in whose]
            if whose and all(rule.claims[claim].startswith("*") for claim in named):
                raise ValueError(
                    f"rule {number} does not say whose pipelines it is for; name one of the claims "
                    f"{', '.join(sorted(whose))}, with a pattern that does not begin with *"
                )
        return self


class WorkloadSettings(Section):
    key = "longshore.workload"

    audience: tuple[str, ...] = setting(
        (),
        "What tokens must be for (aud); empty: this registry's http.host, with and without https://.",
    )
    issuers: tuple[IssuerSettings, ...] = setting((), "Whose tokens are taken.")

    @model_validator(mode="after")
    def _issuers_differ(self) -> Self:
        for what, values in (
            ("name", [issuer.name for issuer in self.issuers]),
            ("issuer", [issuer.url for issuer in self.issuers]),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(
                    f"two issuers have the {what} {twice[0]!r}; put their rules together"
                )
        return self
