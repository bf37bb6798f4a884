"""The OCI distribution specification's own program: every switch on, nothing failed or skipped."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.services.programs import Shell
from tests.services.registries import ALICE, Login, Registry, RegistryFactory, merge

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

# Manifests whose layers or platforms are not there may be pushed. Off by default: a registry
# that takes them cannot promise that what it lists can be pulled.
SPARSE = {"longshore": {"manifests": {"sparse": True}}}

# Everything the program can test, whatever the version's own defaults are.
SWITCHES = (
    *(f"API_{name}" for name in ("PING", "PULL", "PUSH", "REFERRER")),
    *(
        f"API_BLOBS_{name}"
        for name in ("ATOMIC", "DELETE", "DIGEST_HEADER", "MOUNT_ANONYMOUS", "UPLOAD_CANCEL")
    ),
    *(f"API_MANIFESTS_{name}" for name in ("ATOMIC", "DELETE", "DIGEST_HEADER", "TAG_PARAM")),
    *(f"API_TAGS_{name}" for name in ("ATOMIC", "DELETE", "LIST")),
    *(f"DATA_{name}" for name in ("IMAGE", "INDEX", "INDEX_LIST", "SPARSE", "ARTIFACT")),
    *(f"DATA_{name}" for name in ("SUBJECT", "SUBJECT_MISSING", "ARTIFACT_LIST", "SUBJECT_LIST")),
    *(f"DATA_{name}" for name in ("DATA_FIELD", "NONDISTRIBUTABLE", "CUSTOM_FIELDS")),
    *(f"DATA_{name}" for name in ("NO_LAYERS", "EMPTY_BLOB", "SHA512")),
)

# What may be skipped: the end of a check's name, and why. Nothing, so far.
SKIPS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Results:
    """What the program found: the names of passed checks, and of others with what was said."""

    passed: list[str]
    failed: dict[str, str]
    skipped: dict[str, str]

    @classmethod
    def read(cls, junit: Path) -> "Results":
        """Sort the checks of a JUnit report; only the innermost ones say something."""
        results = cls([], {}, {})
        # The report is written by a program of ours, so nothing in it is hostile.
        for case in ElementTree.parse(junit).iter("testcase"):  # noqa: S314
            name = case.get("name", "").removeprefix("OCI Conformance Test/")
            said = "".join(each.text or "" for each in case if each.tag != "system-err")
            said = said.strip() or (case.findtext("system-err") or "").strip()
            match case.get("status"):
                case "passed":
                    results.passed.append(name)
                case "skipped":
                    results.skipped[name] = said
                case _:
                    results.failed[name] = said
        return results

    def unexpected_skips(self) -> dict[str, str]:
        """Skipped checks that no entry of `SKIPS` explains."""
        return {
            name: said
            for name, said in self.skipped.items()
            if not any(name.endswith(ending) for ending in SKIPS)
        }

    def summary(self) -> str:
        """A page for a person: how many, and the first lines that each check had to say."""
        lines = [
            f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped)} skipped"
        ]
        for title, checks in (("FAILED", self.failed), ("SKIPPED", self.unexpected_skips())):
            lines += [f"{title} {name}\n{_shorten(said)}" for name, said in checks.items()]
        return "\n".join(lines)


def _shorten(said: str, lines: int = 12, width: int = 300) -> str:
    return "\n".join(f"    {line[:width]}" for line in said.splitlines()[:lines])


def run(shell: Shell, registry: Registry, version: str, login: Login | None) -> Results:
    """Run the program to its end; its exit code is not needed, its report says more."""
    environment = {
        "OCI_REGISTRY": registry.host,
        "OCI_TLS": "enabled" if registry.authority else "disabled",
        "OCI_VERSION": version,
        "OCI_RESULTS_DIR": str(shell.home / "results"),
        **{f"OCI_{switch}": "true" for switch in SWITCHES},
    }
    if registry.authority:
        environment["SSL_CERT_FILE"] = str(registry.authority.certificate)
    if login:
        environment |= {"OCI_USERNAME": login.user, "OCI_PASSWORD": login.password}
    output = shell.with_env(**environment).attempt("conformance", timeout=240)
    report = shell.home / "results" / "junit.xml"
    assert report.exists(), str(output)
    return Results.read(report)


def check(results: Results) -> None:
    """Fail with a readable page unless everything passed."""
    assert not results.failed, results.summary()
    assert not results.unexpected_skips(), results.summary()
    assert len(results.passed) > 800, f"far fewer checks than there are: {results.summary()}"


@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_every_check_passes(shell: Shell, registry_factory: RegistryFactory, version: str) -> None:
    registry = registry_factory(SPARSE)

    check(run(shell, registry, version, None))


def test_every_check_passes_over_tls_with_a_password(
    shell: Shell, registry_factory: RegistryFactory
) -> None:
    registry = registry_factory(SPARSE, login=ALICE, tls=True)

    check(run(shell, registry, "dev", ALICE))


def test_every_check_passes_with_metadata_in_postgresql(
    shell: Shell, registry_factory: RegistryFactory, postgres_url: str
) -> None:
    database: dict[str, Any] = {"longshore": {"database": {"url": postgres_url}}}
    registry = registry_factory(merge(SPARSE, database))

    check(run(shell, registry, "dev", None))
