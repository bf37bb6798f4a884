"""ORAS: anything that is not an image, and what belongs to what."""

import json
from pathlib import Path

import pytest

from tests.services.images import single_image
from tests.services.programs import Shell
from tests.services.registries import ALICE, Registry

pytestmark = pytest.mark.service

HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
HELM_CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
HELM_PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"


class Oras:
    """oras with the options that one registry needs."""

    def __init__(self, shell: Shell, registry: Registry) -> None:
        self.shell = shell
        self.registry = registry
        if registry.login:
            login = ["-u", registry.login.user, "--password-stdin", *self.access()]
            shell("oras", "login", registry.host, *login, stdin=registry.login.password)

    def access(self, side: str = "") -> list[str]:
        """The options that reach the registry; `side` is `from-` or `to-` for a copy."""
        if self.registry.authority:
            return [f"--{side}ca-file={self.registry.authority.certificate}"]
        return [f"--{side}plain-http"]

    def __call__(self, *args: str | Path) -> str:
        """Run a command that must succeed and return what it printed."""
        return self.shell("oras", *args, *self.access()).out

    def file(self, name: str, content: str) -> str:
        """Make a file where oras runs; oras wants names relative to that."""
        (self.shell.home / name).write_text(content)
        return name


@pytest.fixture
def oras(shell: Shell, registry: Registry) -> Oras:
    """oras, logged in to each of the registries in turn."""
    return Oras(shell, registry)


def test_files_are_pushed_and_pulled_as_an_artifact(
    oras: Oras, registry: Registry, repository: str, tmp_path: Path
) -> None:
    reference = f"{registry.host}/{repository}:v1"
    readme, data = oras.file("readme.md", "# hello\n"), oras.file("data.json", "{}")
    push = ["push", reference, "--artifact-type=application/vnd.test"]
    oras(*push, f"{readme}:text/markdown", f"{data}:application/json")

    oras("pull", reference, "--output", tmp_path / "back")

    back = {path.name: path.read_text() for path in (tmp_path / "back").iterdir()}
    assert back == {"readme.md": "# hello\n", "data.json": "{}"}
    manifest = json.loads(oras("manifest", "fetch", reference))
    assert manifest["artifactType"] == "application/vnd.test"


def test_what_is_attached_to_an_artifact_is_discovered(
    oras: Oras, registry: Registry, repository: str
) -> None:
    reference = f"{registry.host}/{repository}:v1"
    oras("push", reference, f"{oras.file('a.txt', 'a')}:text/plain")
    for kind in ("sbom", "signature"):
        attach = ["attach", reference, f"--artifact-type=application/vnd.test.{kind}"]
        oras(*attach, f"{oras.file(kind, kind)}:text/plain")

    everything = json.loads(oras("discover", "--format=json", reference))
    filtered = json.loads(
        oras("discover", "--format=json", "--artifact-type=application/vnd.test.sbom", reference)
    )

    kinds = {each["artifactType"] for each in everything["referrers"]}
    assert kinds == {"application/vnd.test.sbom", "application/vnd.test.signature"}
    assert len(filtered["referrers"]) == 1
    assert oras("repo", "tags", f"{registry.host}/{repository}").split() == ["v1"]


def test_an_artifact_is_copied_with_everything_attached_to_it(
    oras: Oras, registry: Registry, repository: str
) -> None:
    source, target = (f"{registry.host}/{repository}{end}:v1" for end in ("", "/copy"))
    oras("push", source, f"{oras.file('a.txt', 'a')}:text/plain")
    sbom = f"{oras.file('sbom', '{}')}:application/json"
    oras("attach", source, "--artifact-type=application/vnd.test.sbom", sbom)

    options = [*oras.access("from-"), *oras.access("to-")]
    oras.shell("oras", "cp", "--recursive", source, target, *options)

    found = json.loads(oras("discover", "--format=json", target))
    assert [each["artifactType"] for each in found["referrers"]] == ["application/vnd.test.sbom"]


def test_an_attachment_to_one_platform_of_an_index_is_discovered(
    oras: Oras, registry: Registry, repository: str
) -> None:
    name = f"{registry.host}/{repository}"
    for architecture in ("amd64", "arm64"):
        platform = f"--artifact-platform=linux/{architecture}"
        content = f"{oras.file(architecture, architecture)}:text/plain"
        oras("push", f"{name}:{architecture}", platform, content)
    oras("manifest", "index", "create", f"{name}:all", "amd64", "arm64")

    sbom = f"{oras.file('sbom', '{}')}:application/json"
    attach = ["attach", f"{name}:all", "--platform=linux/arm64"]
    oras(*attach, "--artifact-type=application/vnd.test.sbom", sbom)

    one = json.loads(oras("discover", "--format=json", "--platform=linux/arm64", f"{name}:all"))
    assert len(one["referrers"]) == 1


def test_a_helm_chart_keeps_its_media_types(
    oras: Oras, registry: Registry, repository: str, tmp_path: Path
) -> None:
    reference = f"{registry.host}/{repository}/chart:1.2.3_build.7"
    config = oras.file("config.json", '{"name":"chart","version":"1.2.3+build.7"}')
    chart = f"{oras.file('chart-1.2.3.tgz', 'chart')}:{HELM_CHART}"
    provenance = f"{oras.file('chart-1.2.3.tgz.prov', 'signed')}:{HELM_PROVENANCE}"
    oras("push", reference, f"--config={config}:{HELM_CONFIG}", chart, provenance)

    manifest = json.loads(oras("manifest", "fetch", reference))
    oras("pull", reference, "--output", tmp_path / "back")

    assert manifest["config"]["mediaType"] == HELM_CONFIG
    assert [each["mediaType"] for each in manifest["layers"]] == [HELM_CHART, HELM_PROVENANCE]
    assert (tmp_path / "back" / "chart-1.2.3.tgz").read_text() == "chart"


def test_blobs_and_manifests_are_deleted(oras: Oras, registry: Registry, repository: str) -> None:
    name = f"{registry.host}/{repository}"
    oras("push", f"{name}:v1", f"{oras.file('a.txt', 'unique')}:text/plain")
    digest = oras("resolve", f"{name}:v1").strip()
    manifest = json.loads(oras("manifest", "fetch", f"{name}:v1"))
    layer = manifest["layers"][0]["digest"]

    oras("manifest", "delete", "--force", f"{name}@{digest}")
    oras("blob", "delete", "--force", f"{name}@{layer}")

    for kind, gone in (("manifest", digest), ("blob", layer)):
        fetch = [kind, "fetch", "--descriptor", f"{name}@{gone}", *oras.access()]
        assert "not found" in oras.shell.refused("oras", *fetch).err


def test_an_image_layout_is_backed_up_and_restored(
    oras: Oras, registry: Registry, repository: str, tmp_path: Path
) -> None:
    digest = single_image(tmp_path / "image")
    layout = ["--from-oci-layout", f"{tmp_path / 'image'}:latest"]
    name = f"{registry.host}/{repository}"
    oras.shell("oras", "cp", *layout, f"{name}:v1", *oras.access("to-"))

    oras("backup", f"{name}:v1", "--output", tmp_path / "backup.tar")
    oras("restore", f"{name}/restored:v1", "--input", tmp_path / "backup.tar")

    assert oras("resolve", f"{name}/restored:v1").strip() == digest


def test_a_wrong_password_is_refused(shell: Shell, secure_registry: Registry) -> None:
    assert secure_registry.authority
    authority = f"--ca-file={secure_registry.authority.certificate}"
    login = ["login", secure_registry.host, "-u", ALICE.user, "-p", "guess", authority]

    answer = shell.refused("oras", *login)

    assert "unauthorized" in answer.err.lower()
