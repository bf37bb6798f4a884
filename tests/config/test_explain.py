import pytest
import yaml

from longshore.access.settings import HtpasswdSettings
from longshore.config import shape
from longshore.config.explain import default_of, explain, hide
from longshore.config.load import Configuration
from longshore.http.settings import HTTPSettings
from longshore.registry.settings import ManifestSettings
from tests.config.loading import Loader

FULL = """\
version: 0.1
log: {level: debug, fields: {service: "5"}}
storage: {inmemory: }
auth: {htpasswd: {path: /auth/htpasswd}}
http: {secret: geheim, draintimeout: 90s, headers: {X-A: [b, "c: d"]}}
health: {tcp: [{addr: "a:1"}]}
"""


def explained(configuration: Configuration) -> dict[str, tuple[str, str]]:
    return {value.key: (value.text, str(value.origin)) for value in explain(configuration)}


def test_every_value_has_its_origin(config: Loader):
    found = explained(config(FULL, REGISTRY_HTTP_ADDR=":1"))

    assert found["http.addr"] == (":1", "REGISTRY_HTTP_ADDR")
    assert found["http.net"] == ("tcp", "default")
    assert found["log.level"] == ("debug", f"{config.path}:2")
    assert found["log.fields.service"] == ("'5'", f"{config.path}:2")
    assert found["http.draintimeout"] == ("1m30s", f"{config.path}:5")
    assert found["http.headers.X-A"] == ("[b, 'c: d']", f"{config.path}:5")
    assert found["health.tcp[0].addr"] == ("a:1", f"{config.path}:6")
    assert found["health.tcp[0].interval"] == ("10s", "default")
    assert found["longshore.manifests.maxsize"] == ("4MiB", "default")


def test_of_alternatives_only_the_chosen_one_is_shown(config: Loader):
    found = explained(config(FULL))

    assert found["storage.inmemory"] == ("{}", f"{config.path}:3")
    assert found["auth.htpasswd.path"] == ("/auth/htpasswd", f"{config.path}:4")
    assert not [key for key in found if key.startswith(("storage.filesystem", "auth.token"))]


def test_what_is_shown_can_be_written(config: Loader):
    for value in explain(config(FULL)):
        assert isinstance(yaml.safe_load(f"{value.key}: {value.text}"), dict)


def test_a_secret_is_hidden(config: Loader):
    found = explained(config(FULL))

    assert found["http.secret"] == ("(hidden)", f"{config.path}:5")
    assert "geheim" not in str(found)


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("", "''"),
        ("geheim", "(hidden)"),
        ("https://geheim", "(hidden)"),
        ("sqlite:////data/longshore.db", "sqlite:////data/longshore.db"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql+psycopg://u@h:5432/d", "postgresql+psycopg://u@h:5432/d"),
        ("postgresql://u:geheim@h/d", "postgresql://u:(hidden)@h/d"),
        ("postgresql://u:ge@heim?@h/d", "postgresql://u:(hidden)@h/d"),
        ("postgresql://h/d?password=geheim", "postgresql://h/d?(hidden)"),
    ],
)
def test_of_a_database_url_only_the_passwords_are_hidden(secret: str, shown: str):
    assert hide(secret) == shown


def test_a_default_is_shown_as_it_would_be_written():
    shapes = shape.of_model(HTTPSettings).keys | shape.of_model(ManifestSettings).keys
    names = ("addr", "draintimeout", "headers", "maxsize", "secret", "relativeurls", "tls")

    assert {name: default_of(shapes[name]) for name in names} == {
        "addr": ":5000",
        "draintimeout": "30s",
        "headers": "{}",
        "maxsize": "4MiB",
        "secret": "''",
        "relativeurls": "",
        "tls": "",
    }
    assert default_of(shape.of_model(HtpasswdSettings).keys["path"]) == ""
