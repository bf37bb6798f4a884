"""Real servers and clients: docs/workload-identity.md as it stands, and what a pipeline must not do."""

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from longshore.settings import load_configuration
from longshore.workload.settings import WorkloadSettings
from tests.identity.test_server import asks, longshore
from tests.services.docker_engine import BASE_IMAGE, DockerEngine
from tests.services.images import single_image
from tests.services.issuer import Issuer, answer
from tests.services.programs import Shell, program
from tests.services.registries import Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

PAGE = (Path(__file__).parents[2] / "docs" / "workload-identity.md").read_text()
EXAMPLE, GITHUB, GITLAB, POD = (
    yaml.safe_load(block)
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
)
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TYPE = "urn:ietf:params:oauth:token-type:"

Start = Callable[..., Registry]


@pytest.fixture
def start(registry_factory: RegistryFactory) -> Start:
    """Starts a registry that believes issuers by name, by the rules of the page."""

    def started(issuers: Mapping[str, Issuer], **more: Any) -> Registry:
        known = {entry["name"]: entry for entry in EXAMPLE["longshore"]["workload"]["issuers"]}
        entries = []
        for name, issuer in issuers.items():
            entry = {**known[name], "issuer": issuer.url}
            entry.pop("jwks", None)
            entries.append(entry)
        workload = {"audience": ["registry.tests"], "issuers": entries, **more}
        registry = registry_factory(
            {"auth": EXAMPLE["auth"], "longshore": {"workload": workload}},
            env={"LONGSHORE_ADMIN_PASSWORD": "Harbour12"},
            ready=asks,
        )
        longshore(registry, "project", "add", "team")
        return registry

    return started


def github(issuer: Issuer, **more: Any) -> str:
    claims = {
        "aud": "registry.tests",
        "sub": "repo:octo/app:ref:refs/heads/main",
        "repository": "octo/app",
        "repository_owner": "octo",
        "ref": "refs/heads/main",
    }
    return issuer.token(**{**claims, **more})


def test_the_page_names_every_setting(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(yaml.safe_dump(EXAMPLE))
    loaded = load_configuration(file, {})
    assert loaded.warnings == ()
    assert [issuer.name for issuer in loaded[WorkloadSettings].issuers] == [
        "github",
        "gitlab",
        "cluster",
    ]
    for word in (
        "audience",
        "jwksuri",
        "jwks",
        "ca",
        "lifetime",
        "repositories",
        "claims",
        "preset",
    ):
        assert f"`{word}`" in PAGE or f"{word}:" in PAGE or f"longshore.workload.{word}`" in PAGE
    assert GITHUB["permissions"]["id-token"] == "write"
    assert POD["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"]


def run_steps(steps: list[str], environment: dict[str, str], directory: Path) -> None:
    for step in steps:
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", step],
            env=environment,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}{done.stderr}"


@pytest.mark.timeout(300)
def test_the_pipelines_of_the_page_log_in_build_and_push(
    start: Start,
    start_issuer: Callable[[], Issuer],
    shell: Shell,
    docker_engine: DockerEngine,
    tmp_path: Path,
) -> None:
    for name in ("docker", "curl", "jq"):
        program(name)
    hub, lab = start_issuer(), start_issuer()
    registry = start({"github": hub, "gitlab": lab})
    # What the runner's own service answers; that it is asked for the right audience is seen below.
    hub.pages["/token"] = lambda: answer({"value": github(hub)})
    work = tmp_path / "work"
    work.mkdir()
    (work / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\nLABEL made=here\n")
    environment = {
        **shell.environment(),
        "DOCKER_HOST": docker_engine.address,
        "DOCKER_BUILDKIT": "0",
        "REGISTRY": registry.host,
        "IMAGE": f"{registry.host}/team/app",
        "GITHUB_SHA": "1" * 40,
        "CI_COMMIT_SHA": "2" * 40,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "the runner's",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{hub.url}/token?api-version=2",
        "REGISTRY_TOKEN": lab.token(
            aud="registry.tests", project_path="team/app", ref_protected="true"
        ),
    }
    steps = [step["run"] for step in GITHUB["jobs"]["image"]["steps"] if "run" in step]
    config = Path(environment["DOCKER_CONFIG"]) / "config.json"
    run_steps(steps[:1], environment, work)
    kept = json.loads(config.read_text())["auths"][registry.host]
    run_steps(steps[1:], environment, work)
    after = json.loads(config.read_text()).get("auths", {})
    job = GITLAB["image"]
    run_steps([*job["script"], *job["after_script"]], environment, work)
    with registry.client() as client:
        client.auth = ("admin", "Harbour12")
        tags = client.get("/v2/team/app/tags/list").json()["tags"]
    for tag in ("1" * 40, "2" * 40, "latest"):
        shell.with_env(DOCKER_HOST=docker_engine.address)(
            "docker", "rmi", f"{registry.host}/team/app:{tag}"
        )

    assert kept["identitytoken"].startswith("lsw_")
    assert after == {}
    assert tags == ["1" * 40, "2" * 40, "latest"]
    assert f"/token?api-version=2&audience=https://{registry.host}" in hub.asked_in_full
    assert "workload:github:octo/app" in (registry.directory / "log").read_text()


def test_crane_pushes_with_the_token_and_with_what_it_was_exchanged_for(
    start: Start, issuer: Issuer, shell: Shell, tmp_path: Path
) -> None:
    registry = start({"github": issuer})
    digest = single_image(tmp_path / "image")
    name = f"{registry.host}/team/app"
    with registry.client() as client:
        form = {
            "grant_type": EXCHANGE,
            "subject_token": github(issuer),
            "subject_token_type": f"{TYPE}jwt",
            "requested_token_type": f"{TYPE}refresh_token",
        }
        exchanged = client.post("/v2/token", data=form).json()
    for number, password in enumerate((github(issuer), exchanged["access_token"])):
        login = ("auth", "login", "-u", "oidc", "--password-stdin", registry.host)
        shell("crane", *login, stdin=password)
        shell("crane", "push", tmp_path / "image", f"{name}:{number}")
        assert shell("crane", "digest", f"{name}:{number}").out.strip() == digest
    other = shell.refused("crane", "push", tmp_path / "image", f"{registry.host}/team/other:1").err
    gone = shell.refused("crane", "push", tmp_path / "image", f"{registry.host}/nowhere/app:1").err

    assert exchanged["issued_token_type"] == f"{TYPE}refresh_token"
    assert exchanged["token_type"] == "N_A"
    assert 3590 <= exchanged["expires_in"] <= 3600
    assert "no rule of longshore.workload allows it to 'workload:github:octo/app'" in other
    assert "no rule of longshore.workload allows it" in gone


def test_what_a_pipeline_must_not_do(
    start: Start, start_issuer: Callable[[], Issuer], registry_factory: RegistryFactory
) -> None:
    hub, lab, stranger = start_issuer(), start_issuer(), start_issuer()
    registry = start({"github": hub, "gitlab": lab})
    longshore(registry, "project", "add", "secret")
    upload, manifest = "/v2/team/app/blobs/uploads/", "/v2/team/app/manifests/v1"
    now = int(time.time())
    with registry.client() as client:

        def refused(password: str, user: str = "oidc") -> str:
            reply = client.get("/v2/token", auth=(user, password))
            assert reply.status_code == httpx.codes.UNAUTHORIZED, reply.text
            direct = client.get("/v2/", auth=(user, password))
            assert direct.status_code == httpx.codes.UNAUTHORIZED
            return str(reply.json()["errors"][0]["message"])

        assert "and not for 'registry.tests'" in refused(github(hub, aud="https://other"))
        assert "expired" in refused(github(hub, exp=now - 120))
        assert "begins in the future" in refused(github(hub, nbf=now + 600))
        assert "none of longshore.workload" in refused(github(stranger))
        assert "the token was refused" in refused(github(lab, iss=hub.url))
        assert "algorithm 'none'" in refused(hub.unsigned(aud="registry.tests"))
        assert "'HS256'" in refused(hub.signed_with_the_public_key(aud="registry.tests"))
        assert "ref is 'refs/heads/dev'" in refused(
            github(hub, ref="refs/heads/dev", repository_owner="else", repository="x/y")
        )
        # Claims of one platform mean nothing in the rules of another.
        assert "project_path is missing" in refused(github(lab))
        assert "unknown user or wrong password" in refused(github(hub), user="admin")
        assert "not given out by this registry" in refused("lsw_" + github(hub))
        assert "not given out by this registry" in refused("lsw_x")

        def token(scope: str, password: str = "") -> tuple[str, str]:
            reply = client.get(
                "/v2/token", params={"scope": scope}, auth=("oidc", password or github(hub))
            )
            assert reply.status_code == httpx.codes.OK, reply.text
            return f"Bearer {reply.json()['token']}", reply.json()["scope"]

        value, granted = token(
            "repository:team/app:pull,push,delete repository:secret/x:pull registry:catalog:*"
        )
        assert granted == "repository:team/app:pull,push"

        def ask(method: str, path: str, value: str = value, **parts: Any) -> httpx.Response:
            return client.request(method, path, headers={"Authorization": value}, **parts)

        assert ask("POST", upload).status_code == httpx.codes.ACCEPTED
        assert ask("GET", manifest).status_code == httpx.codes.NOT_FOUND
        assert ask("DELETE", manifest).status_code == httpx.codes.FORBIDDEN
        elsewhere = ask("POST", "/v2/secret/x/blobs/uploads/")
        assert elsewhere.status_code == httpx.codes.FORBIDDEN
        assert "no rule of longshore.workload" in elsewhere.text
        assert ask("GET", "/v2/secret/x/tags/list").status_code == httpx.codes.NOT_FOUND
        assert ask("POST", "/v2/team/other/blobs/uploads/").status_code == httpx.codes.FORBIDDEN
        mounted = ask("POST", f"{upload}?mount=sha256:{'0' * 64}&from=secret/x")
        assert mounted.status_code == httpx.codes.ACCEPTED
        assert ask("GET", "/v2/_catalog").status_code == httpx.codes.FORBIDDEN
        narrow, _ = token("repository:team/app:pull")
        assert ask("POST", upload, narrow).status_code == httpx.codes.UNAUTHORIZED
        # What a token says of itself is read by whoever finds it: nothing in it is a login.
        payload = value.removeprefix("Bearer ").split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        for text in filter(lambda found: isinstance(found, str), claims.values()):
            assert "given out by this registry" in refused(text if "." in text else f"lsw_{text}")
        # A token of a user cannot be made of one of a pipeline, nor the other way.
        session = client.get(
            "/v2/token", params={"offline_token": "true"}, auth=("oidc", github(hub))
        ).json()["refresh_token"]
        assert ask("GET", manifest, f"Bearer {session}").status_code == httpx.codes.UNAUTHORIZED
        assert ask("GET", manifest, f"Bearer {github(hub)}").status_code == httpx.codes.UNAUTHORIZED
        form = {
            "grant_type": "refresh_token",
            "refresh_token": session,
            "service": "longshore",
            "scope": "repository:team/app:push",
        }
        again = client.post("/v2/token", data=form)
        assert again.json()["scope"] == "repository:team/app:push"
        bad = {
            "grant_type": EXCHANGE,
            "subject_token": github(hub),
            "subject_token_type": f"{TYPE}saml2",
        }
        assert "cannot be exchanged" in client.post("/v2/token", data=bad).text

        # A rule that goes takes its logins with it.
        config = registry.directory / "config.yml"
        document = yaml.safe_load(config.read_text())
        document["longshore"]["workload"]["issuers"][0]["rules"] = [
            {
                "claims": {"repository": "octo/app"},
                "repositories": ["team/app"],
                "actions": ["pull"],
            }
        ]
    registry_factory.stop(registry)
    more = {"auth": document["auth"], "longshore": document["longshore"]}
    again_started = registry_factory(more, directory=registry.directory, ready=asks, env=os.environ)
    with again_started.client() as client:
        assert client.get(manifest, headers={"Authorization": value}).status_code == 404
        denied = client.post(upload, headers={"Authorization": value})
        assert denied.status_code == httpx.codes.FORBIDDEN
        renewed = client.post("/v2/token", data={**form, "scope": "repository:team/app:pull,push"})
        assert renewed.json()["scope"] == "repository:team/app:pull"


def test_an_issuer_that_is_away_is_no_wrong_password(start: Start, issuer: Issuer) -> None:
    registry = start({"github": issuer})
    text = github(issuer)
    issuer.pages["/jwks"] = lambda: answer({}, 500)
    with registry.client() as client:
        reply = client.get("/v2/token", auth=("oidc", text))
    assert reply.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert "cannot be verified now" in reply.text


def test_a_start_without_an_audience_is_refused(tmp_path: Path, issuer: Issuer) -> None:
    file = tmp_path / "config.yml"
    rule = {"claims": {"sub": "x"}, "repositories": ["a"]}
    entry = {"name": "ci", "issuer": issuer.url, "rules": [rule]}
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "auth": {"longshore": {}},
        "longshore": {"workload": {"issuers": [entry]}},
    }

    def said() -> str:
        file.write_text(yaml.safe_dump(document))
        done = subprocess.run(
            [server_program(), "serve", str(file)],
            env={"PATH": "/usr/bin"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        return done.stderr

    assert "longshore.workload.audience is empty and so is http.host" in said()
    document["http"] = {"host": "https://registry.example.org"}
    entry["jwks"] = str(tmp_path / "none.json")
    assert "cannot be read" in said()
    (tmp_path / "none.json").write_text(json.dumps({"keys": []}))
    assert "holds no key" in said()


def test_keys_may_come_from_a_file(
    registry_factory: RegistryFactory, issuer: Issuer, tmp_path: Path
) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": issuer.public_keys()}))
    cluster = {
        **EXAMPLE["longshore"]["workload"]["issuers"][2],
        "issuer": issuer.url,
        "jwks": str(tmp_path / "keys.json"),
    }
    registry = registry_factory(
        {
            "auth": {"longshore": {}},
            "longshore": {"workload": {"audience": ["registry.tests"], "issuers": [cluster]}},
        },
        env={"LONGSHORE_ADMIN_PASSWORD": "Harbour12"},
        ready=asks,
    )
    longshore(registry, "project", "add", "team")
    nested = {"namespace": "build", "serviceaccount": {"name": "builder"}}
    with registry.client() as client:

        def scope(**claims: Any) -> httpx.Response:
            return client.get(
                "/v2/token",
                params={"scope": "repository:team/app:delete,push"},
                auth=("oidc", issuer.token(aud=["registry.tests", "other"], **claims)),
            )

        assert (
            scope(**{"kubernetes.io": nested}).json()["scope"] == "repository:team/app:delete,push"
        )
        assert scope(namespace="build", serviceaccount="builder").status_code == 401
    assert issuer.asked == []
