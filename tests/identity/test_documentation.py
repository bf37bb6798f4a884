"""docs/people.md: its configuration loads, and it names every role and setting."""

import re
from pathlib import Path

from longshore.access.settings import AuthSettings
from longshore.identity.model import Role
from longshore.identity.settings import AdminSettings, LoginSettings, TokenServiceSettings
from longshore.settings import load_configuration

PAGE = (Path(__file__).parents[2] / "docs" / "people.md").read_text()


def test_the_configuration_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    file = tmp_path / "config.yml"
    file.write_text(example)
    loaded = load_configuration(file, {"LONGSHORE_ADMIN_PASSWORD": "Harbour12"})
    word = load_configuration(None, {"REGISTRY_AUTH": "longshore"})

    assert loaded.warnings == ()
    assert loaded[AuthSettings].method == word[AuthSettings].method == "longshore"
    assert loaded[AdminSettings].password.get_secret_value() == "Harbour12"
    assert "Harbour12" not in repr(loaded[AdminSettings])


def test_every_role_and_setting_is_explained() -> None:
    for word in [*(role.word for role in Role), *AdminSettings.model_fields]:
        assert word in PAGE


def test_the_documented_token_settings_are_the_defaults(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "tokens.md").read_text()
    (example,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    file = tmp_path / "config.yml"
    file.write_text(f"version: 0.1\nstorage: inmemory\nauth: longshore\n{example}")

    assert load_configuration(file, {})[TokenServiceSettings] == TokenServiceSettings()
    for name in TokenServiceSettings.model_fields:
        assert f"{name}:" in example


def test_the_documented_settings_of_logins_are_the_defaults(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "logins.md").read_text()
    (example,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    file = tmp_path / "config.yml"
    file.write_text(f"version: 0.1\nstorage: inmemory\nauth: longshore\n{example}")

    assert load_configuration(file, {})[LoginSettings] == LoginSettings()
    for name in LoginSettings.model_fields:
        assert f"{name}:" in example
