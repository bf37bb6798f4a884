"""Limits, what is used, and how the two compare."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

UNLIMITED: Final = -1
#: Harbor's bound: a petabyte.
LARGEST: Final = 1 << 50


class Resource(StrEnum):
    """What is counted. ``STORAGE``: bytes of distinct blobs, configs and manifests; ``REPOSITORIES``: those
    that hold a manifest."""

    STORAGE = "storage"
    REPOSITORIES = "repositories"
    TAGS = "tags"

    def shown(self, amount: int) -> str:
        """An amount as people read it."""
        if self is not Resource.STORAGE:
            return str(amount)
        value, unit = float(amount), "B"
        for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
            if abs(value) < 1024:
                break
            value, unit = value / 1024, larger
        return f"{amount} B" if unit == "B" else f"{value:.1f} {unit}"


@dataclass(frozen=True, slots=True)
class Limit:
    """``hard`` is never exceeded; beyond ``soft`` pushes go on and somebody is told. -1: unlimited."""

    hard: int = UNLIMITED
    soft: int = UNLIMITED

    @property
    def is_unlimited(self) -> bool:
        return self.hard < 0 and self.soft < 0


@dataclass(frozen=True, slots=True)
class Defaults:
    """What counts for a project of which nothing else was said. ``warning``: the percentage of a hard
    limit that is its soft limit, unless there is one; 0: none. ``enforced``: false when nobody is refused or
    warned, whatever the limits."""

    limits: Mapping[Resource, Limit] = field(default_factory=dict)
    warning: int = 85
    enforced: bool = True

    def limit(self, resource: Resource, hard: int | None, soft: int | None) -> Limit:
        """What counts where ``hard`` and ``soft`` (None: nothing was said) were set."""
        default = self.limits.get(resource, Limit())
        firm = default.hard if hard is None else hard
        mild = default.soft if soft is None else soft
        if mild < 0 and firm >= 0 and self.warning and soft is None:
            mild = firm * self.warning // 100
        return Limit(firm, mild)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a project holds; ``reserved`` are bytes that uploads under way may bring."""

    storage: int = 0
    reserved: int = 0
    repositories: int = 0
    tags: int = 0

    def of(self, resource: Resource) -> int:
        """With what is reserved."""
        if resource is Resource.STORAGE:
            return self.storage + self.reserved
        return self.repositories if resource is Resource.REPOSITORIES else self.tags


@dataclass(frozen=True, slots=True)
class Quota:
    """A project's limits and what of them is used. ``id`` is the project's."""

    id: int
    project: str
    owner: str
    limits: Mapping[Resource, Limit]
    usage: Usage
    created_at: float
    updated_at: float

    @property
    def is_unlimited(self) -> bool:
        return all(limit.is_unlimited for limit in self.limits.values())


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the totals of a project are not what its rows say."""

    project: str
    kept: Usage
    counted: Usage


class QuotaError(Exception):
    """A limit that cannot be, or a project that is not there. The message is for people."""


class NoSuchProject(QuotaError):
    """There is no project of that name or id."""


def checked_limit(resource: Resource, value: int) -> int:
    """Raises QuotaError for what is no limit."""
    if value != UNLIMITED and not 0 < value <= LARGEST:
        raise QuotaError(
            f"{value} is no limit of {resource}: use a number from 1 to {LARGEST}, "
            "or -1 for no limit"
        )
    return value
