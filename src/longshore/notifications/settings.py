"""Settings of notifications: distribution's own section."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from longshore.config.quantities import Seconds
from longshore.config.section import GoName, Section, Table, required, setting

Action = Literal["pull", "push", "mount", "delete"]


def _url(value: SecretStr) -> SecretStr:
    # Not shown in the message: it may hold a password.
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("this is no URL to post to; write https://host/path")
    return value


class IgnoreSettings(Table):
    mediatypes: tuple[str, ...] = setting((), "Media types that are not told.")
    actions: tuple[Action, ...] = setting((), "Actions that are not told.")


class EndpointSettings(Table):
    name: Annotated[str, Field(min_length=1)] = required("Its own name; events wait under it.")
    disabled: bool = setting(False, "Leave it out.")
    url: Annotated[SecretStr, AfterValidator(_url)] = required("Where events are posted.")
    headers: Mapping[str, tuple[SecretStr, ...]] = setting(
        {}, "Headers of each request, such as Authorization."
    )
    timeout: Annotated[Seconds, Field(gt=0, le=3600)] = setting(
        1.0, "How long an answer may take; longer counts as a failure."
    )
    threshold: Annotated[int, Field(ge=1)] = setting(
        10, "Failures in a row after which it is left alone for backoff."
    )
    backoff: Annotated[Seconds, Field(gt=0)] = setting(
        1.0, "For how long; doubled after each further failure, up to five minutes."
    )
    ignoredmediatypes: tuple[str, ...] = setting((), "The old name of ignore.mediatypes; added.")
    ignore: IgnoreSettings = setting(IgnoreSettings(), "What it does not want to hear of.")

    @property
    def ignored_types(self) -> frozenset[str]:
        """Media types from either key."""
        return frozenset((*self.ignoredmediatypes, *self.ignore.mediatypes))


class EventSettings(Table):
    includereferences: bool = setting(False, "Tell what a pushed manifest refers to.")


class NotificationsSettings(Section):
    key = "notifications"

    events: Annotated[EventSettings, GoName("EventConfig")] = setting(
        EventSettings(), "What events say."
    )
    endpoints: tuple[EndpointSettings, ...] = setting((), "Who is told.")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [endpoint.name for endpoint in self.active]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(
                f"two endpoints are called {sorted(twice)[0]!r}; events wait under an endpoint's "
                "name, so each needs its own"
            )
        return self

    @property
    def active(self) -> list[EndpointSettings]:
        """The endpoints that are not disabled."""
        return [endpoint for endpoint in self.endpoints if not endpoint.disabled]
