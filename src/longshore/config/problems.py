"""What is wrong with a configuration, where it stands, and the report that collects it all."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: a file and its line, an environment variable, or a default."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


#: Nobody set it.
DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to say about ``key`` (dotted; empty for the configuration as a whole)."""

    key: str
    message: str
    origin: Origin = DEFAULT

    def __str__(self) -> str:
        said = f"{self.key}: {self.message}" if self.key else self.message
        return said if self.origin == DEFAULT else f"{said} ({self.origin})"


class ConfigurationInvalid(Exception):
    """The configuration cannot be used; ``problems`` is everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"the configuration has {count}:{lines}")
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


@dataclass(slots=True)
class Report:
    """Problems stop the start; warnings are shown and logged."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def problem(self, key: str, message: str, origin: Origin = DEFAULT) -> None:
        self.problems.append(Problem(key, message, origin))

    def warn(self, key: str, message: str, origin: Origin = DEFAULT) -> None:
        self.warnings.append(Problem(key, message, origin))

    def check(self) -> None:
        """Raises ConfigurationInvalid if there are problems."""
        if self.problems:
            raise ConfigurationInvalid(self.problems, self.warnings)
