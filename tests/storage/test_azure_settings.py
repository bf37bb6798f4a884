"""What is refused below storage.azure, and what the rest means."""

from typing import Any

import pytest

from longshore.config.load import load
from longshore.config.problems import ConfigurationInvalid
from longshore.settings import SECTIONS
from longshore.storage.settings import StorageSettings

LEAST = {"accountname": "example", "container": "images", "accountkey": "a2V5"}
APPLICATION = {"clientid": "c", "tenantid": "t", "secret": "s"}


def loaded(tmp_path: Any, azure: dict[str, Any], **environ: str) -> StorageSettings:
    path = tmp_path / "config.yml"
    path.write_text(f"version: 0.1\nstorage: {{azure: {azure!r}}}\n".replace("None", "null"))
    return load(path, environ, SECTIONS)[StorageSettings]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"accountnaem": "x"}, "accountnaem: unknown key; did you mean accountname?"),
        ({"container": ""}, "container is empty"),
        ({"accountkey": "no base64!"}, "accountkey is not base64"),
        ({"accountkey": "", "credentials": {"type": "shared_key"}}, "need accountkey"),
        ({"accountkey": "", "credentials": {"type": "client_secret"}}, "clientid and tenantid and secret"),
        ({"credentials": APPLICATION | {"type": "client_secret"}}, "accountkey has no effect"),
        ({"credentials": {"type": "password"}}, "'password' is not one of shared_key, client_secret, default_credentials"),
        ({"max_retries": -1}, "must be at least 0"),
        ({"retry_delay": "0s"}, "must be more than 0"),
        ({"connectionstring": "AccountName=x"}, "write what it says as accountname, accountkey"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_a_sentence(tmp_path: Any, more: Any, said: str):
    with pytest.raises(ConfigurationInvalid) as caught:
        loaded(tmp_path, LEAST | more)
    assert said in str(caught.value)
    assert "a2V5" not in str(caught.value)


@pytest.mark.parametrize(
    ("azure", "kind"),
    [
        (LEAST, "shared_key"),
        (LEAST | {"accountkey": "", "credentials": APPLICATION}, "client_secret"),
        (LEAST | {"accountkey": ""}, "default_credentials"),
    ],
)
def test_credentials_are_recognized_by_what_is_given(tmp_path: Any, azure: Any, kind: str):
    assert loaded(tmp_path, azure).parameters.kind == kind


def test_the_address_is_made_of_account_and_realm_or_given(tmp_path: Any):
    assert loaded(tmp_path, LEAST).parameters.endpoint == "https://example.blob.core.windows.net"
    there = loaded(tmp_path, LEAST, REGISTRY_STORAGE_AZURE_REALM="core.usgovcloudapi.net")
    assert there.parameters.endpoint == "https://example.blob.core.usgovcloudapi.net"
    given = loaded(tmp_path, LEAST | {"serviceurl": "http://127.0.0.1:10000/example/"})
    assert given.parameters.endpoint == "http://127.0.0.1:10000/example"
    assert given.parameters.place == "azure-example-images"
