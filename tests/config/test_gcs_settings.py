"""The keys of the gcs driver."""

import pytest

from tests.config.loading import Loader

HEAD = "version: 0.1\nstorage:\n  gcs:\n    bucket: images\n"
INLINE = (
    "    credentials: {type: service_account, project_id: p, private_key_id: k, "
    "private_key: geheim, client_email: a@b, client_id: 12345, auth_uri: u, token_uri: t, "
    "auth_provider_x509_cert_url: c, client_x509_cert_url: x, universe_domain: googleapis.com}\n"
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "    keyfile: /k.json\n    chunksize: 5242880\n    maxconcurrency: 50\n    useragent: me\n",
        f"{INLINE}    rootdirectory: /registry\n",
        "    endpoint: http://127.0.0.1:4443/\n",
    ],
)
def test_distributions_keys_are_taken(config: Loader, text: str):
    assert config.warnings(HEAD + text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("    chunksice: 1\n", "storage.gcs.chunksice: unknown key; did you mean chunksize? (config.yml:5)"),
        ("    credentials: {clientemail: x, client_email: a@b, private_key: y}\n", "storage.gcs.credentials.clientemail: unknown key; did you mean client_email? (config.yml:5)"),
        ("    chunksize: 300000\n", "storage.gcs.chunksize: 300000 must be a multiple of 262144 (config.yml:5)"),
        ("    chunksize: 0\n", "storage.gcs.chunksize: 0 must be at least 262144 (config.yml:5)"),
        ("    endpoint: storage.example\n", "storage.gcs: endpoint 'storage.example' is no URL such as https://storage.googleapis.com (config.yml:3)"),
        ("    credentials: {type: authorized_user}\n", "storage.gcs.credentials: type 'authorized_user': only the key of a service_account can be written here; leave credentials away and let GOOGLE_APPLICATION_CREDENTIALS name a file of another type (config.yml:5)"),
        ("    credentials: {client_email: a@b}\n", "storage.gcs.credentials: client_email and private_key are needed: copy them from the key file (config.yml:5)"),
        (f"{INLINE}    keyfile: /k.json\n", "storage.gcs: keyfile and credentials say the same thing: give one of them (config.yml:3)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(config: Loader, text: str, problem: str):
    assert config.problems(HEAD + text) == [problem]
