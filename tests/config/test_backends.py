"""Backends with a name of their own: read, checked with suggestions, set by variables."""

import pytest

from longshore.config.load import load
from longshore.settings import SECTIONS
from longshore.storage.settings import BackendsSettings
from tests.config.loading import Loader

HEAD = "version: 0.1\nstorage: inmemory\nlongshore:\n  storage:\n    "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backends: {cold: {filesytem: {}}}", "backends.cold.filesytem: unknown key; did you mean filesystem?"),
        ("backends: {cold: {filesystem: {rootdirectroy: /x}}}", "backends.cold.filesystem.rootdirectroy: unknown key; did you mean rootdirectory?"),
        ("backends: {cold: {}}", "backends.cold: no driver is named; write one of: "),
        ("backends: {cold: {s3: {bucket: b}}}", "backends.cold.s3: neither region nor regionendpoint"),
        ("backends: {cold: {inmemory: {}, filesystem: {}}}", "backends.cold: only one may be chosen"),
        ("backends: {Cold: inmemory}", ": backends.Cold: a name is made of up to 32 lower-case letters"),
        ("backends: {default: inmemory}", ": backends.default: this is the name of what `storage` configures"),
        ("rules: [{repositories: 'a/**', backend: cold}]", ": rules[0].backend: there is no backend 'cold'; there are: default"),
        ("rules: [{repositories: 'a/***', backend: default}]", ": rules[0].repositories: 'a/***' is no repository pattern"),
        ("rules: [{backend: default}]", "rules[0].repositories: missing"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_explained(config: Loader, text: str, said: str):
    problems = config.problems(HEAD + text + "\n")

    assert any(
        problem.startswith(f"longshore.storage{'' if said[0] == ':' else '.'}{said}")
        for problem in problems
    ), problems


def test_a_name_that_is_almost_right_is_suggested(config: Loader):
    text = "backends: {cold: inmemory}\n    rules: [{repositories: '**', backend: clod}]\n"

    (problem,) = config.problems(HEAD + text)
    assert "'clod'; did you mean cold?; there are: default, cold" in problem


def test_variables_reach_into_a_backend(tmp_path):
    file = tmp_path / "config.yml"
    file.write_text(HEAD + "backends: {cold: {filesystem: {rootdirectory: /a}}}\n")
    variables = {
        "LONGSHORE_STORAGE_BACKENDS_COLD_FILESYSTEM_ROOTDIRECTORY": "/b",
        "LONGSHORE_STORAGE_BACKENDS_NEW_S3_BUCKET": "images",
        "LONGSHORE_STORAGE_BACKENDS_NEW_S3_REGION": "eu-west-1",
    }
    found = load(file, variables, SECTIONS)[BackendsSettings].backends

    assert found["cold"].where == "/b"
    assert found["new"].where == "s3-images"
