"""Loading a configuration written in a test."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from longshore.config.load import Configuration, load
from longshore.config.problems import ConfigurationInvalid
from longshore.settings import SECTIONS

#: The least that is a configuration.
LEAST = {"version": 0.1, "storage": {"inmemory": {}}}


class Loader:
    """Writes files below a directory and loads them."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "config.yml"
        self.dev = False

    def write(self, content: str | dict[str, Any]) -> Path:
        text = dedent(content) if isinstance(content, str) else yaml.safe_dump(content)
        self.path.write_text(text)
        return self.path

    def __call__(
        self, content: str | dict[str, Any] | None = None, **environ: str
    ) -> Configuration:
        """Load `content`, or the least there may be, under the given variables."""
        path = self.write(LEAST if content is None else content)
        return load(path, environ, SECTIONS, dev=self.dev)

    def without_file(self, **environ: str) -> Configuration:
        return load(None, environ, SECTIONS)

    def problems(self, content: str | dict[str, Any] | None = None, **environ: str) -> list[str]:
        """What is wrong with `content`, one line each, with the directory left out."""
        with pytest.raises(ConfigurationInvalid) as raised:
            self(content, **environ)
        return [self._short(str(problem)) for problem in raised.value.problems]

    def warnings(self, content: str | dict[str, Any] | None = None, **environ: str) -> list[str]:
        return [self._short(str(warning)) for warning in self(content, **environ).warnings]

    def _short(self, text: str) -> str:
        return text.replace(f"{self.path.parent}/", "")


@pytest.fixture
def config(tmp_path: Path) -> Loader:
    """Loads what a test writes."""
    return Loader(tmp_path)
