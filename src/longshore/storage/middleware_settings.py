"""Settings of distribution's storage middleware: where clients are sent for the bytes of a blob."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from longshore.config.quantities import Seconds
from longshore.config.section import Section, Table, required, setting
from longshore.config.wording import did_you_mean

#: Name of a middleware -> the options it takes.
OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "redirect": frozenset({"baseurl"}),
    "cloudfront": frozenset(
        {
            "baseurl",
            "privatekey",
            "keypairid",
            "duration",
            "ipfilteredby",
            "awsregion",
            "iprangesurl",
            "updatefrequency",
        }
    ),
    "rewrite": frozenset({"scheme", "host", "trimpathprefix"}),
}
#: Options without which a middleware is of no use.
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "redirect": ("baseurl",),
    "cloudfront": ("baseurl", "privatekey", "keypairid"),
    "rewrite": (),
}

_Period = Annotated[Seconds, Field(gt=0)]


class StorageMiddlewareOptions(Table):
    """The options of every kind in one table, as distribution's file has them."""

    baseurl: str = setting("", "redirect, cloudfront: URL before a blob's path.")
    privatekey: Path | None = setting(None, "cloudfront: PEM file of the key that signs URLs.")
    keypairid: str = setting("", "cloudfront: ID of that key's public half.")
    duration: _Period | None = setting(
        None, "cloudfront: how long a URL is valid; default: longshore.redirect.lifetime."
    )
    ipfilteredby: Literal["none", "aws", "awsregion"] = setting(
        "none", "cloudfront: send clients inside AWS, or its regions, to the storage itself."
    )
    awsregion: str = setting("", "cloudfront: regions for `awsregion`, separated by commas.")
    iprangesurl: str = setting(
        "https://ip-ranges.amazonaws.com/ip-ranges.json",
        "cloudfront: URL or path of the list of AWS' networks.",
    )
    updatefrequency: _Period = setting(12 * 3600.0, "cloudfront: how often to read that list.")
    scheme: str = setting("", "rewrite: the scheme that URLs get.")
    host: str = setting("", "rewrite: the host (and port) that URLs get.")
    trimpathprefix: str = setting("", "rewrite: cut off the front of the path.")


class StorageMiddlewareSettings(Table):
    name: str = required("`redirect`, `cloudfront` or `rewrite`.")
    disabled: bool = setting(False, "Leave it out.")
    options: StorageMiddlewareOptions = setting(StorageMiddlewareOptions(), "Its options.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.disabled:
            return self
        if self.name not in OPTIONS:
            hint = did_you_mean(self.name, OPTIONS)
            raise ValueError(
                f"name: there is no storage middleware {self.name!r}{hint}; "
                f"there are: {', '.join(OPTIONS)}"
            )
        given = self.options.model_fields_set
        foreign = sorted(given - OPTIONS[self.name])
        if foreign:
            raise ValueError(
                f"options: {foreign[0]} is no option of {self.name}; "
                f"it takes: {', '.join(sorted(OPTIONS[self.name]))}"
            )
        lacking = [name for name in _NEEDED[self.name] if not getattr(self.options, name)]
        if lacking:
            raise ValueError(f"options: {self.name} needs {' and '.join(lacking)}")
        self._check_values()
        return self

    def _check_values(self) -> None:
        options = self.options
        if self.name == "redirect" and not options.baseurl.startswith(("http://", "https://")):
            raise ValueError("options: baseurl must begin with http:// or https://")
        if options.ipfilteredby == "awsregion" and not options.awsregion.strip(", "):
            raise ValueError("options: ipfilteredby: awsregion needs awsregion")
        if self.name == "rewrite" and not (
            options.scheme or options.host or options.trimpathprefix
        ):
            raise ValueError("options: rewrite needs scheme, host or trimpathprefix")


class MiddlewareSettings(Section):
    key = "middleware"

    storage: tuple[StorageMiddlewareSettings, ...] = setting(
        (), "Where clients are redirected; the last one is asked first, as in distribution."
    )
