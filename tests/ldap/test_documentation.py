"""The page's configuration is one, and it explains what it should."""

import re
from pathlib import Path

from longshore.ldap.settings import LDAPSettings
from longshore.settings import load_configuration

PAGE = (Path(__file__).parents[2] / "docs" / "ldap.md").read_text()


def test_the_configuration_is_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    file = tmp_path / "config.yml"
    file.write_text(example)
    loaded = load_configuration(file, {"LONGSHORE_LDAP_SERVERS_0_SEARCHPASSWORD": "from-outside"})
    corp, partners = (server.server for server in loaded[LDAPSettings].servers)

    assert loaded.warnings == ()
    assert corp.urls == ("ldaps://dc1.corp.example", "ldaps://dc2.corp.example")
    assert corp.groups.admins.startswith("CN=Registry Admins")
    assert (corp.search_password, partners.search_password) == ("from-outside", "...")
    assert partners.start_tls
    assert "..." not in repr(loaded[LDAPSettings])
