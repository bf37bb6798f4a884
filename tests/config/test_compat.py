"""Every key of distribution is honoured, accepted with a reason, or refused with one."""

import re
from pathlib import Path
from typing import Any

import pytest

from longshore.config import shape
from longshore.config.compat import ROWS, Row, Status
from longshore.settings import SECTIONS
from longshore.storage.settings import DRIVERS
from tests.config.loading import Loader

HEAD = "version: 0.1\nstorage: inmemory\n"

#: All keys of registry 2.8 and 3: lists with [], alternatives spelled out.
KEYS = (Path(__file__).with_name("files") / "keys.txt").read_text().split()


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_distribution_is_known(key: str):
    at: Any = shape.build(SECTIONS, ROWS)
    for step in key.split("."):
        name = step.removesuffix("[]")
        if at == shape.ANYTHING or isinstance(at, shape.MapOf):
            return
        at = at.keys[name].shape
        if step.endswith("[]"):
            assert isinstance(at, shape.ListOf) or at == shape.ANYTHING
            at = at.item if isinstance(at, shape.ListOf) else at


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.key)
def test_every_reason_is_a_sentence_that_says_what_to_do_or_why(row: Row):
    assert len(row.reason) > 15
    assert not row.reason.endswith(".")
    assert row.status is not Status.MOVED or row.to


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis: {addrs: ['r:6379']}", "redis: not needed: what processes share"),
        ("redis: {addr: 'r:6379', pool: {maxidle: 5}}", "redis: not needed"),
        ("reporting: {bugsnag: {apikey: k}}", "reporting: no reports are sent"),
        ("log: {hooks: [{type: mail, levels: [panic]}]}", "log.hooks: no mail is sent"),
        ("http: {tls: {ciphersuites: [TLS_AES_128_GCM_SHA256]}}", "http.tls.ciphersuites: the server's own list"),
        ("http: {http2: {disabled: false}}", "http.http2: HTTP/2 is not offered"),
        ("http: {h2c: {enabled: true}}", "http.h2c: HTTP/2 is not offered"),
        ("validation: {enabled: true}", "validation.enabled: validation is on"),
        ("compatibility: {schema1: {enabled: true}}", "compatibility.schema1: manifests of schema version 1"),
    ],
)  # fmt: skip
def test_what_is_accepted_without_effect_says_why(config: Loader, text: str, said: str):
    (warning,) = config.warnings(f"{HEAD}{text}\n")

    assert warning.startswith(said)
    assert warning.endswith("(config.yml:3)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("proxy: {remoteurl: 'https://registry-1.docker.io'}", "proxy: a pull-through cache is not built"),
        ("middleware: {repository: [{name: x}]}", "middleware.repository: middleware of repositories cannot be loaded"),
        ("middleware: {registry: [{name: x}]}", "middleware.registry: middleware of the registry cannot be loaded"),
        ("http: {tls: {letsencrypt: {cachefile: /c, hosts: [a]}}}", "http.tls.letsencrypt: certificates cannot be fetched"),
        ("policy: {repository: {classes: [image]}}", "policy.repository.classes: what a repository may hold"),
    ],
)  # fmt: skip
def test_what_would_be_wrong_to_ignore_is_refused(config: Loader, text: str, said: str):
    (problem,) = config.problems(f"{HEAD}{text}\n")

    assert problem.startswith(said)
    assert problem.endswith("(config.yml:3)")


def test_a_driver_that_is_not_there_is_refused_with_those_that_are(config: Loader):
    (problem,) = config.problems("version: 0.1\nstorage: {s3aws: {unknown: 1}}\n")

    assert problem == (
        "storage.s3aws: is the driver s3 under its old name; write storage.s3; there are: "
        f"{', '.join(DRIVERS)} (config.yml:2)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "proxy: {}",
        "proxy: {remoteurl: '', ttl: 168h}",
        "notifications: {events: {includereferences: true}}",
        "notifications: {endpoints: []}",
        "notifications: {endpoints: [{name: a, url: 'http://x', disabled: true}]}",
        "middleware: {storage: [], registry: }",
        "middleware: {storage: [{name: cloudfront, disabled: true}]}",
        "http: {tls: {letsencrypt: {cachefile: '', hosts: []}, ciphersuites: []}}",
        "http: {http2: {disabled: true}, h2c: {enabled: false}}",
        "redis: {addr: '', db: 0}",
        "log: {hooks: [{type: mail, disabled: true}]}",
        "policy: {repository: {classes: []}}",
        "compatibility: {schema1: {enabled: false}}",
    ],
)
def test_what_says_nothing_is_not_talked_about(config: Loader, text: str):
    assert config.warnings(f"{HEAD}{text}\n") == []


def test_a_refusal_names_the_variable_it_comes_from(config: Loader):
    (problem,) = config.problems(REGISTRY_PROXY_REMOTEURL="https://registry-1.docker.io")

    assert re.search(r"\(REGISTRY_PROXY_REMOTEURL\)$", problem)


def test_an_unknown_key_in_something_unused_is_still_reported(config: Loader):
    assert config.problems(f"{HEAD}proxy: {{remotURL: x}}\n") == [
        "proxy.remotURL: unknown key; did you mean remoteurl? (config.yml:3)"
    ]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{name: cloudfrnt}", "name: there is no storage middleware 'cloudfrnt'; did you mean cloudfront?; there are: redirect, cloudfront, rewrite"),
        ("{name: redirect}", "options: redirect needs baseurl"),
        ("{name: redirect, options: {baseurl: c}}", "options: baseurl must begin with http:// or https://"),
        ("{name: cloudfront, options: {baseurl: c}}", "options: cloudfront needs privatekey and keypairid"),
        ("{name: rewrite, options: {baseurl: c}}", "options: baseurl is no option of rewrite; it takes: host, scheme, trimpathprefix"),
        ("{name: rewrite}", "options: rewrite needs scheme, host or trimpathprefix"),
    ],
)  # fmt: skip
def test_storage_middleware_that_cannot_work_is_refused(config: Loader, entry: str, said: str):
    assert config.problems(f"{HEAD}middleware: {{storage: [{entry}]}}\n") == [
        f"middleware.storage[0]: {said} (config.yml:3)"
    ]
