"""The examples of docs/authentication.md are configurations that the server takes."""

import re
from pathlib import Path

import pytest

from longshore.access.controller import create
from longshore.access.settings import AccessSettings, AuthSettings
from longshore.settings import load_configuration

PAGE = Path(__file__).parents[2] / "docs" / "authentication.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_is_a_configuration_and_makes_a_controller(number: int, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(EXAMPLES[number])
    configuration = load_configuration(path, {}, dev=True)
    assert configuration.warnings == ()
    create(configuration[AuthSettings], configuration[AccessSettings], secret=b"x", dev=True)


def test_every_setting_is_explained() -> None:
    text = PAGE.read_text()
    for name in [*AuthSettings.model_fields, *AccessSettings.model_fields]:
        assert name in text
