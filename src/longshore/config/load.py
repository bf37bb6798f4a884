"""config.yml and the environment, judged as a whole before anything starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar, cast

from longshore.config import compat, defaults, shape
from longshore.config.binding import Binding
from longshore.config.compat import Status
from longshore.config.document import Entries, Scalar, YAMLInvalid, parse
from longshore.config.environment import CONFIGURATION_PATH, overlay
from longshore.config.problems import DEFAULT, ConfigurationInvalid, Origin, Problem, Report
from longshore.config.section import Section
from longshore.config.shape import Struct
from longshore.config.tree import choose, is_null, move

S = TypeVar("S", bound=Section)

VERSION: Final = "0.1"
#: Bytes; a configuration is never as large.
_LARGEST: Final = 1 << 20


class Configuration:
    """Frozen sections, by their class: ``configuration[HTTPSettings].addr``."""

    def __init__(
        self,
        sections: Mapping[type[Section], Section],
        *,
        source: Path | None = None,
        warnings: Sequence[Problem] = (),
        origins: Mapping[str, Origin] | None = None,
    ) -> None:
        self._sections = dict(sections)
        #: The file that was read; None when there was none.
        self.source = source
        self.warnings = tuple(warnings)
        self._origins = dict(origins or {})

    def __getitem__(self, section: type[S]) -> S:
        """Raises KeyError for a section that was not loaded."""
        return cast("S", self._sections[section])

    @property
    def sections(self) -> tuple[Section, ...]:
        """All of them, in the order in which they were asked for."""
        return tuple(self._sections.values())

    def origin(self, key: str) -> Origin:
        """Where the value of a dotted key (``health.file[0].interval``) was set."""
        return self._origins.get(key, DEFAULT)


def load(
    path: Path | None,
    environ: Mapping[str, str],
    sections: Sequence[type[Section]],
    *,
    dev: bool = False,
) -> Configuration:
    """The configuration in ``path``, or named by REGISTRY_CONFIGURATION_PATH, or the built-in one;
    under the REGISTRY_* and LONGSHORE_* variables of ``environ``.

    ``dev`` allows what is only fit for development. Raises ConfigurationInvalid with every problem
    there is.
    """
    report = Report()
    structure = shape.build(sections, compat.ROWS)
    path = path or (Path(found) if (found := environ.get(CONFIGURATION_PATH)) else None)
    root = _read(path, report) if path else Entries(origin=defaults.BUILT_IN)
    _overlay(root, structure, environ, report)
    if path is None:
        defaults.fill(root, structure, environ)
    binding = Binding(structure, report, dev)
    bound = binding.sections(root, sections)
    report.check()
    return Configuration(bound, source=path, warnings=report.warnings, origins=binding.origins)


def _overlay(root: Entries, structure: Struct, environ: Mapping[str, str], report: Report) -> None:
    used = overlay(root, structure, environ, report)
    for key in structure.keys:
        choose(root, key, structure.keys[key].shape, used, report)
    for row in compat.ROWS:
        if row.status is Status.MOVED:
            move(root, row.key, row.to, row.reason, report)


def _read(path: Path, report: Report) -> Entries:
    """The file's values without ``version``. Raises ConfigurationInvalid when there is no use in
    looking further."""
    source = str(path)
    try:
        root = parse(_text(path), source, report)
    except YAMLInvalid as error:
        raise _unusable(str(error), Origin(source, error.line)) from error
    if root is None or is_null(root):
        raise _unusable("is empty; the least is: version, storage", Origin(source))
    if not isinstance(root, Entries):
        raise _unusable("is not a table; write key: value lines", root.origin)
    _check_version(root, report)
    return root


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _unusable(f"cannot be read: {reason}", Origin(str(path))) from error
    if len(content) > _LARGEST:
        raise _unusable("is larger than 1 MiB, so it is no configuration", Origin(str(path)))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _unusable("is not UTF-8 text", Origin(str(path), line)) from error


def _check_version(root: Entries, report: Report) -> None:
    version = root.entries.pop("version", None)
    if version is None:
        report.problem("version", f"missing; write version: {VERSION}", root.origin)
    elif not isinstance(version, Scalar) or version.text != VERSION:
        written = repr(version.text) if isinstance(version, Scalar) else "this"
        said = f"{written} is not a version that is known; write version: {VERSION}"
        report.problem("version", said, version.origin)


def _unusable(message: str, origin: Origin) -> ConfigurationInvalid:
    return ConfigurationInvalid([Problem("", f"the configuration file {message}", origin)])
