"""Settings of the data plane: limits, and what a manifest must satisfy."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from longshore.config.quantities import Size
from longshore.config.section import Section, Table, required, setting

_Entries = Annotated[int, Field(ge=1, le=1_000_000)]


class CatalogSettings(Section):
    key = "catalog"

    maxentries: _Entries = setting(1000, "Most repositories in one reply of /v2/_catalog.")


class TagsSettings(Section):
    key = "tags"

    maxtags: _Entries = setting(1000, "Most tags in one reply of /v2/<name>/tags/list.")


def _regular_expression(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    return value


_Pattern = Annotated[str, AfterValidator(_regular_expression)]


class URLSettings(Table):
    allow: tuple[_Pattern, ...] = setting((), "Regular expressions, one of which must match.")
    deny: tuple[_Pattern, ...] = setting((), "Regular expressions, none of which may match.")


class PlatformSettings(Table):
    os: str = required("Operating system, such as linux.")
    architecture: str = required("Architecture, such as amd64.")


class IndexSettings(Table):
    platforms: Literal["all", "none", "list"] = setting(
        "all", "Which manifests of an index must be there when it is pushed."
    )
    platformlist: tuple[PlatformSettings, ...] = setting((), "The platforms of list.")


class ManifestRules(Table):
    urls: URLSettings = setting(URLSettings(), "Layers that are kept elsewhere.")
    indexes: IndexSettings = setting(IndexSettings(), "Indexes (multi-platform images).")


class ValidationSettings(Section):
    key = "validation"

    disabled: bool = setting(False, "Accept manifests without looking for what they refer to.")
    manifests: ManifestRules = setting(ManifestRules(), "What manifests must satisfy.")


class ManifestSettings(Section):
    key = "longshore.manifests"

    maxsize: Annotated[Size, Field(ge=1 << 10, le=1 << 30)] = setting(
        4 << 20, "The largest manifest that is accepted."
    )
    sparse: bool = setting(
        False, "Accept manifests whose layers or platforms are not in the repository."
    )
