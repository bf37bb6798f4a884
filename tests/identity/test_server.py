"""Real servers, real clients, the commands of docs/people.md."""

import io
import json
import re
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from longshore.cli.main import main
from tests.services.docker_engine import BASE_IMAGE, DockerEngine
from tests.services.images import single_image
from tests.services.programs import Shell
from tests.services.registries import Login, Registry, RegistryFactory, server_program

pytestmark = pytest.mark.service

PAGE = (Path(__file__).parents[2] / "docs" / "people.md").read_text()
ADMIN = Login("admin", "Harbour12")
BOB = Login("bob", "Row4ever!")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def asks(registry: Registry) -> bool:
    """Whether it is up and asks who is there."""
    try:
        with registry.client() as client:
            return client.get("/v2/").status_code == httpx.codes.UNAUTHORIZED
    except httpx.TransportError:
        return False


@pytest.fixture
def start(registry_factory: RegistryFactory) -> Callable[..., Registry]:
    """Starts a registry as docs/people.md configures it."""
    (example,) = blocks("yaml")
    auth = yaml.safe_load(example)["auth"]

    def started(password: str = ADMIN.password, **more: object) -> Registry:
        env = {"LONGSHORE_ADMIN_PASSWORD": password}
        return registry_factory({"auth": auth, **more}, env=env, ready=asks)

    return started


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def longshore(registry: Registry, *words: str, stdin: str = "", code: int = 0) -> Done:
    """Run a command, in this process: starting one takes a second."""
    found, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.stdin", io.StringIO(stdin))
        try:
            main([*words, "--config", str(registry.directory / "config.yml")])
        except SystemExit as end:
            found = int(end.code or 0)
    assert found == code, err.getvalue()
    return Done(found, out.getvalue(), err.getvalue())


def hire(registry: Registry) -> None:
    """Do what the page does for bob."""
    longshore(registry, "user", "add", BOB.user, stdin=f"{BOB.password}\n")
    longshore(registry, "project", "add", "team")
    longshore(registry, "project", "member", "add", "team", BOB.user, "developer")


def run_page(registry: Registry) -> list[str]:
    """What the commands of the page print, each run as it stands."""
    printed = []
    for line in "".join(blocks("sh")).splitlines():
        command = line.replace("longshore ", f"{server_program()} ", 1)
        done = subprocess.run(
            ["/bin/sh", "-c", f"{command} --config config.yml"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=registry.directory,
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    return printed


def let_in(registry: Registry, login: Login) -> bool:
    with registry.client() as client:
        answer = client.get("/v2/", auth=(login.user, login.password))
    return answer.status_code == httpx.codes.OK


def test_the_page_from_the_first_command_to_a_push_with_crane(
    start: Callable[..., Registry], shell: Shell, tmp_path: Path
) -> None:
    registry = start()
    printed = run_page(registry)
    digest = single_image(tmp_path / "image")
    reference = f"{registry.host}/team/app:v1"
    longshore(registry, "project", "add", "secret")

    def log_in(login: Login) -> None:
        words = ("auth", "login", "-u", login.user, "--password-stdin", registry.host)
        shell("crane", *words, stdin=login.password)

    nobody = shell.refused("crane", "push", tmp_path / "image", reference).err
    log_in(BOB)
    shell("crane", "push", tmp_path / "image", reference)
    pulled = shell("crane", "digest", reference).out.strip()
    missing = shell.refused(
        "crane", "push", tmp_path / "image", f"{registry.host}/nowhere/app:v1"
    ).err
    hidden = shell.refused("crane", "digest", f"{registry.host}/secret/app:v1").err
    denied = shell.refused("crane", "delete", f"{registry.host}/team/app@{digest}").err
    listed = shell("crane", "catalog", registry.host).out.split()
    log_in(ADMIN)
    shell("crane", "delete", f"{registry.host}/team/app@{digest}")

    sentence = printed[5].removeprefix("denied: ").strip()
    assert sentence in PAGE
    assert sentence in denied
    assert re.search(r"^alice +project-admin$", printed[4], re.MULTILINE)
    assert re.search(r"^bob +developer$", printed[4], re.MULTILINE)
    assert re.search(r"^library +everybody$", printed[7], re.MULTILINE)
    assert "401 Unauthorized" in nobody
    assert pulled == digest
    assert "project 'nowhere' does not exist" in missing
    assert "404" in hidden or "UNKNOWN" in hidden
    assert listed == ["team/app"]
    assert re.search(r"^builders +team +2$", printed[12], re.MULTILINE)
    assert printed[13].startswith("allowed")
    of_one_name(registry)


def of_one_name(registry: Registry) -> None:
    """Commands ask which of several groups is meant."""
    longshore(registry, "group", "create", "devs")
    with registry.client(login=False) as client:
        client.auth = (ADMIN.user, ADMIN.password)
        group = {"group_name": "devs", "group_type": 1, "ldap_group_dn": "cn=devs,dc=x"}
        client.post("/api/v2.0/usergroups", json=group).raise_for_status()
    words = ("project", "member", "add", "team")
    unclear = longshore(registry, *words, "devs", "guest", "--group", code=1).err
    assert "ldap:cn=devs,dc=x" in unclear
    longshore(registry, *words, "team:devs", "guest", "--group")
    longshore(registry, *words, "cn=devs,dc=x", "developer", "--group")
    listed = longshore(registry, "project", "members", "team").out
    assert re.findall(r"^(devs \(group\)) +(\S+)$", listed, re.MULTILINE) == [
        ("devs (group)", "guest"),
        ("devs (group)", "developer"),
    ]
    missing = longshore(registry, *words, "nobody", "guest", "--group", code=1).err
    assert "there is no group 'nobody'" in missing
    absent = longshore(registry, "group", "member", "remove", "devs", "bob", code=1).err
    assert "'bob' is not in team 'devs'" in absent


def test_skopeo_logs_in_pushes_and_reads_without_a_login_what_is_public(
    start: Callable[..., Registry], shell: Shell, tmp_path: Path
) -> None:
    registry = start()
    hire(registry)
    digest = single_image(tmp_path / "image")
    name = f"{registry.host}/team/app:v1"
    source, trust = f"oci:{tmp_path / 'image'}", "--dest-tls-verify=false"
    words = ("login", "--tls-verify=false", "-u", BOB.user, "--password-stdin", registry.host)
    shell("skopeo", *words, stdin=BOB.password)
    shell("skopeo", "copy", trust, source, f"docker://{name}")
    inspect = ("skopeo", "inspect", "--tls-verify=false", "--no-creds", f"docker://{name}")
    private = shell.refused(*inspect).err
    longshore(registry, "project", "public", "team")
    public = json.loads(shell(*inspect).out)

    assert "authentication required" in private
    assert public["Digest"] == digest


@pytest.mark.timeout(300)
def test_docker_logs_in_pushes_and_pulls_without_a_login_what_is_public(
    start: Callable[..., Registry], shell: Shell, docker_engine: DockerEngine, docker_client: str
) -> None:
    registry = start()
    hire(registry)
    docker = shell.with_env(DOCKER_HOST=docker_engine.address)
    login = ("login", "-u", BOB.user, "--password-stdin", registry.host)
    name, elsewhere = f"{registry.host}/team/app:v1", f"{registry.host}/nowhere/app:v1"
    for reference in (name, elsewhere):
        docker(docker_client, "tag", BASE_IMAGE, reference)

    docker.refused(docker_client, "push", name)
    docker.refused(docker_client, *login, stdin="Wrong123")
    docker(docker_client, *login, stdin=BOB.password)
    docker(docker_client, "push", name)
    told = docker.refused(docker_client, "push", elsewhere).err
    docker(docker_client, "logout", registry.host)
    docker(docker_client, "rmi", name, elsewhere)
    docker.refused(docker_client, "pull", name)
    longshore(registry, "project", "public", "team")
    docker(docker_client, "pull", name)
    docker(docker_client, "rmi", name)

    assert told


def test_a_new_password_counts_at_once_on_another_node(
    start: Callable[..., Registry], postgres_url: str
) -> None:
    shared = {"database": {"url": postgres_url}}
    one = start(longshore=shared)
    two = start("Ignored12", longshore=shared)
    hire(one)
    assert let_in(one, BOB)
    assert let_in(two, BOB)
    assert let_in(two, ADMIN)
    longshore(one, "user", "passwd", "bob", stdin="Sculled4ever\n")
    assert not let_in(one, BOB)
    assert not let_in(two, BOB)
    assert let_in(two, Login("bob", "Sculled4ever"))
    longshore(two, "user", "disable", "bob")
    assert not let_in(one, Login("bob", "Sculled4ever"))


def test_a_token_has_what_its_user_may_have_and_ends_with_them(
    start: Callable[..., Registry],
) -> None:
    registry = start()
    hire(registry)
    upload, manifest = "/v2/team/app/blobs/uploads/", "/v2/team/app/manifests/v1"

    with registry.client() as client:

        def token(*scopes: str, login: Login | None = BOB) -> str:
            auth = (login.user, login.password) if login else None
            answer = client.get("/v2/token", params={"scope": scopes}, auth=auth)
            assert answer.status_code == httpx.codes.OK, answer.text
            assert answer.json()["scope"] == granted
            return f"Bearer {answer.json()['token']}"

        def ask(method: str, path: str, value: str) -> httpx.Response:
            return client.request(method, path, headers={"Authorization": value})

        granted = "repository:team/app:pull,push"
        mine = token("repository:team/app:pull,push,delete", "repository:nowhere/app:pull")
        form = {
            "grant_type": "password",
            "username": BOB.user,
            "password": BOB.password,
            "scope": granted,
        }
        posted = client.post("/v2/token", data=form).json()["scope"]
        granted = "repository:team/app:pull"
        narrow = token(granted)
        granted = ""
        nobody = token("repository:team/app:pull", login=None)
        wrong = client.get("/v2/token", auth=(BOB.user, "Wrong123"))

        assert posted == "repository:team/app:pull,push"
        assert ask("POST", upload, mine).status_code == httpx.codes.ACCEPTED
        assert "is no member" not in ask("GET", manifest, mine).text
        too_little = ask("POST", upload, narrow)
        assert too_little.status_code == httpx.codes.UNAUTHORIZED
        assert 'error="insufficient_scope"' in too_little.headers["WWW-Authenticate"]
        anonymous = ask("GET", manifest, nobody)
        assert anonymous.status_code == httpx.codes.UNAUTHORIZED
        assert "without a login one may only pull" in anonymous.text
        assert ask("GET", "/v2/tool/manifests/v1", "").status_code == httpx.codes.NOT_FOUND
        assert wrong.status_code == httpx.codes.UNAUTHORIZED
        assert wrong.headers["WWW-Authenticate"].startswith("Basic ")
        assert "longshore user passwd" in wrong.text
        for bad in ("Basic ???", "Digest x", "Bearer x.y.z", "Bearer", "Basic Og=="):
            refused = ask("GET", manifest, bad)
            assert refused.status_code == httpx.codes.UNAUTHORIZED, bad
            assert refused.headers["WWW-Authenticate"].startswith("Bearer ")

        longshore(registry, "project", "member", "rm", "team", "bob")
        assert "user 'bob' is no member of it" in ask("GET", manifest, mine).text
        longshore(registry, "project", "member", "add", "team", "bob", "guest")
        assert "is no member" not in ask("GET", manifest, mine).text
        assert ask("POST", upload, mine).status_code == httpx.codes.FORBIDDEN
        longshore(registry, "user", "disable", "bob")
        assert "user 'bob' is disabled" in ask("GET", manifest, mine).text
        longshore(registry, "user", "enable", "bob")
        assert ask("GET", manifest, mine).status_code == httpx.codes.NOT_FOUND
        longshore(registry, "user", "passwd", "bob", stdin=f"{BOB.password}\n")
        assert "new password or second factor, since" in ask("GET", manifest, mine).text


def test_the_first_password_is_made_up_and_shown_once(start: Callable[..., Registry]) -> None:
    registry = start("")
    log = (registry.directory / "log").read_text()
    (password,) = re.findall(r"user admin was made with the password (\S+)", log)

    assert let_in(registry, Login("admin", password))


def test_a_command_says_what_is_wrong(start: Callable[..., Registry]) -> None:
    registry = start()

    def refused(*words: str, stdin: str = "") -> str:
        return longshore(registry, *words, stdin=stdin, code=1).err

    assert "8 to 128 characters instead of 5, a digit" in refused(
        "user", "add", "bob", stdin="Short\n"
    )
    assert "no user name" in refused("user", "add", "a:b", stdin="Row4ever!\n")
    assert "stands for who did not log in" in refused("user", "add", "anonymous")
    assert "already" in refused("user", "add", "admin", stdin="Row4ever!\n")
    assert "last administrator" in refused("user", "rm", "admin")
    assert "last administrator" in refused("user", "disable", "admin")
    assert "there is no user 'bob'" in refused("user", "passwd", "bob", stdin="Row4ever!\n")
    assert "no project name" in refused("project", "add", "Team")
    assert "already" in refused("project", "add", "library")
    assert "there is no project 'x'" in refused("project", "member", "add", "x", "admin", "guest")
    assert "is no member" in refused("project", "member", "rm", "library", "admin")
    with registry.client() as client:
        client.auth = (ADMIN.user, ADMIN.password)
        for name in ("tool", "library/tool"):
            client.post(f"/v2/{name}/blobs/uploads/?digest=sha256:{EMPTY}", content=b"{}")
            index = {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [],
            }
            pushed = client.put(
                f"/v2/{name}/manifests/latest",
                json=index,
                headers={"Content-Type": str(index["mediaType"])},
            )
            assert pushed.status_code == httpx.codes.CREATED, pushed.text
            assert "in repository 'library/tool'" in refused("project", "rm", "library")
            client.delete(f"/v2/{name}/manifests/{pushed.headers['Docker-Content-Digest']}")
    longshore(registry, "project", "rm", "library")
    for name in ("under__scores", "many---dashes"):
        longshore(registry, "project", "add", name)


def test_commands_say_when_users_have_no_effect(registry_factory: RegistryFactory) -> None:
    registry = registry_factory()

    said = longshore(registry, "project", "add", "early").err

    assert "auth is 'none' here" in said
    assert "project early was added" in said


EMPTY = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_why_deny_tells_the_operator_more(start: Callable[..., Registry]) -> None:
    registry = start()
    hire(registry)

    def why(*words: str) -> str:
        return longshore(registry, "why", "deny", *words).out

    longshore(registry, "project", "add", "secret")
    words = "denied: project {!r} does not exist, or user 'bob' is no member of it\n"
    assert why("bob", "pull", "secret/x") == (
        words.format("secret") + "project 'secret' exists and is private\n"
    )
    assert why("bob", "pull", "nowhere/x") == (
        words.format("nowhere") + "project 'nowhere' does not exist\n"
    )
    assert why("bob", "push", "team/app").startswith("allowed: user 'bob' is developer")
    assert why("admin", "push", "x/y").endswith("make it with: longshore project add x\n")
    assert why("anonymous", "pull", "tool").startswith("allowed: ")
    assert why("anonymous", "push", "tool").startswith("denied: without a login one may only pull")
    assert "there is no user 'eve'" in why("eve", "pull", "tool")
    longshore(registry, "user", "disable", "bob")
    assert why("bob", "pull", "tool") == "denied: user 'bob' is disabled\n"


def test_a_start_is_refused_with_a_password_that_is_too_easy(
    registry_factory: RegistryFactory, tmp_path: Path
) -> None:
    file = tmp_path / "config.yml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}}
    file.write_text(yaml.safe_dump({"version": 0.1, "storage": storage, "auth": {"longshore": {}}}))
    done = subprocess.run(
        [server_program(), "serve", str(file)],
        env={"LONGSHORE_ADMIN_PASSWORD": "admin", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "longshore.admin.password: the password is too easy: it needs" in done.stderr
