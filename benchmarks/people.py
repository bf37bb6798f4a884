"""What many users and projects cost: python -m benchmarks.people [--database URL]

Fills a database with users, projects with members, repositories and tags; then asks for pages of lists over
the management API and prints the server's own time for each; then compares the rate of manifest GETs of
a registry without logins with that of the same one with projects: for nobody, and for a member who logs in.
"""

import argparse
import base64
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import wrk
from benchmarks.collection import wait_for
from benchmarks.crowd import ADMINISTRATOR, BUSY, MANIFEST, MEMBER, PASSWORD, Crowd
from benchmarks.filling import analyze, fill
from benchmarks.processes import cpu_seconds

_ROUNDS: Final = 15
_TOOK: Final = re.compile(r"path=(\S+) .* status=(\d+) .* ms=([0-9.]+)")
_LARGE: Final = "projects/project2/repositories/app0"
_SMALL: Final = "projects/project1/repositories/app0"
_TAGGED: Final = "projects/project3/repositories/app0"
#: What is asked for, by a name for the table: every list of the API that can be long, with orders and filters that
#: take their own way through the database.
_PAGES: Final = {
    "users": "users?page_size=100",
    "users, page 900": "users?page_size=100&page=900",
    "users, the newest first": "users?page_size=100&sort=-creation_time",
    "users, by their real names": "users?page_size=100&sort=realname",
    "users, found by a part of the name": "users?page_size=100&username=user9999",
    "users, by a part that all have": "users?page_size=100&username=ser",
    "users, by a part of the address": "users?page_size=100&q=email%3D~user9999",
    "users, search": "users/search?page_size=100&username=user99",
    "groups": "usergroups?page_size=100",
    "groups, search": "usergroups/search?page_size=100&groupname=group99",
    "projects": "projects?page_size=100",
    "projects, page 90": "projects?page_size=100&page=90",
    "projects, the newest first": "projects?page_size=100&sort=-creation_time",
    "projects, found by a part of the name": "projects?page_size=100&name=ject99",
    "projects, the public ones": "projects?page_size=100&public=true",
    "projects, of one owner": "projects?page_size=100&owner=user9",
    "projects of a member": "projects?page_size=100",
    "projects of a member of many": "projects?page_size=100",
    "members": "projects/project1/members?page_size=100",
    "repositories": "repositories?page_size=100",
    "repositories, page 190": "repositories?page_size=100&page=190",
    "repositories, by name": "repositories?page_size=100&sort=name",
    "repositories, the most pulled first": "repositories?page_size=100&sort=-pull_count",
    "repositories, for a member": "repositories?page_size=100",
    "repositories, for a member of many": "repositories?page_size=100",
    "repositories, for a member of many, page 50": "repositories?page_size=100&page=50",
    "repositories, found by a part of the name": "repositories?page_size=100&q=name%3D~app1",
    "repositories of a project": "projects/project1/repositories?page_size=100",
    "repositories of a project, one with 10,000 artifacts": "projects/project2/repositories?page_size=100",
    "artifacts": f"{_SMALL}/artifacts?page_size=100",
    "artifacts, of 10,000": f"{_LARGE}/artifacts?page_size=100",
    "artifacts, of 10,000, page 90": f"{_LARGE}/artifacts?page_size=100&page=90",
    "artifacts, of 10,000, the largest first": f"{_LARGE}/artifacts?page_size=100&sort=-size",
    "artifacts, of 10,000, without tags": f"{_LARGE}/artifacts?page_size=100&q=tags%3Dnil",
    "artifacts, of 10,000, by a part of a tag": f"{_LARGE}/artifacts?page_size=100&q=tags%3D~v1",
    "artifacts, of 10,000, of one kind": f"{_LARGE}/artifacts?page_size=100&q=type%3DIMAGE",
    "artifacts, of 10,000, with a label": f"{_LARGE}/artifacts?page_size=100&with_label=true&q=labels%3D(1)",
    "artifacts, of 10,000, with parts of indexes": f"{_LARGE}/artifacts?page_size=100&q=base%3D*",
    "artifacts of a project, of 10,000": "projects/project2/artifacts?page_size=100",
    "artifacts of a project, the newest of each": "projects/project2/artifacts?page_size=100"
    "&latest_in_repository=true&q=artifact_type%3Dapplication/vnd.oci.image.config.v1%2Bjson",
    "tags": f"{_SMALL}/artifacts/v0/tags?page_size=100",
    "tags, of 10,000": f"{_TAGGED}/artifacts/of1/tags?page_size=100",
    "tags, of 10,000, page 90": f"{_TAGGED}/artifacts/of1/tags?page_size=100&page=90",
    "tags, of 10,000, by a part of the name": f"{_TAGGED}/artifacts/of1/tags?page_size=100&q=name%3D~f99",
    "labels": "labels?scope=g&page_size=100",
    "labels, page 90": "labels?scope=g&page_size=100&page=90",
    "labels, found by a part of the name": "labels?scope=g&page_size=100&name=bel99",
    "robots": "robots?page_size=100",
    "robots, by a part of the name": "robots?page_size=100&q=Level%3Dproject,ProjectID%3D1,name%3D~ci",
    "robots of a project": "robots?page_size=100&q=Level%3Dproject,ProjectID%3D1",
    "quotas": "quotas?page_size=100",
    "quotas, the fullest first": "quotas?page_size=100&sort=-used.storage",
    "quotas, the largest first": "quotas?page_size=100&sort=-hard.storage",
    "audit log": "audit-logs?page_size=100",
    "audit log, for a member": "audit-logs?page_size=100",
    "audit log, for a member of many": "audit-logs?page_size=100",
    "audit log of a project": "projects/project1/logs?page_size=100",
    "audit log, page 900": "auditlog-exts?page_size=100&page=900",
    "audit log, of one user": "auditlog-exts?page_size=100&q=username%3Duser9",
    "audit log, of one operation": "auditlog-exts?page_size=100&q=operation%3Ddelete",
    "audit log, of a time": "auditlog-exts?page_size=100&q=op_time%3D%5B2023-11-14T23:00:00~2023-11-15T12:00:00%5D",
    "audit log, by a part of the resource": "auditlog-exts?page_size=100&q=resource%3D~app0:v19999",
    "search": "search?q=project99",
    "search, for a member": "search?q=app",
    "search, for a member of many": "search?q=app",
    "statistics": "statistics",
    "statistics, for a member of many": "statistics",
    "summary of a project": "projects/project2/summary",
}


def _asking(page: str) -> str:
    if page.endswith(("a member of many", "a member of many, page 50")):
        return BUSY
    return MEMBER if page.endswith("a member") else ADMINISTRATOR


@dataclass(frozen=True)
class Server:
    """One that runs, in one process beside its supervisor."""

    pid: int
    port: int
    log: Path

    def get(self, path: str, user: str = "") -> bytes:
        url = f"http://127.0.0.1:{self.port}{path}"
        headers = {"Authorization": basic(user)} if user else {}
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=120) as reply:  # noqa: S310 - loopback
            found: bytes = reply.read()
        return found


@contextmanager
def serving(root: Path, url: str, *, people: bool) -> Iterator[Server]:
    """A server over the database ``url``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = "people" if people else "open"
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": f"{root}/data"}},
        "http": {"addr": f"127.0.0.1:{port}"},
        "log": {"level": "info"},
        "longshore": {
            "database": {"url": url},
            "jobs": {"enabled": False},
            "http": {"workers": 1},
            "admin": {"password": PASSWORD},
        },
        **({"auth": {"longshore": {}}} if people else {}),
    }
    config = root / f"{name}.yml"
    config.write_text(json.dumps(document))
    program = str(Path(sys.executable).with_name("longshore"))
    with (root / f"{name}.log").open("wb") as log:
        server = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
        try:
            wait_for(port)
            yield Server(server.pid, port, root / f"{name}.log")
        finally:
            server.terminate()
            server.wait()


def prepare(root: Path, url: str, crowd: Crowd) -> None:
    """The schema, the rows, what the registry counts of them, and what planners know of all that."""
    with serving(root, url, people=False):
        pass
    fill(url, crowd)
    with serving(root, url, people=True):
        pass
    analyze(url)


def pages(server: Server) -> dict[str, tuple[float, float]]:
    """The server's own time for each list in milliseconds: median and least of several."""
    found = {}
    for name, path in _PAGES.items():
        user = _asking(name)
        before = server.log.stat().st_size
        for _ in range(_ROUNDS):
            server.get(f"/api/v2.0/{path}", user)
        times: list[float] = []
        while len(times) < _ROUNDS:  # the log is written a moment later
            time.sleep(0.02)
            with server.log.open("rb") as file:
                file.seek(before)
                times = [float(took[3]) for took in _TOOK.finditer(file.read().decode())]
        found[name] = statistics.median(times[1:]), min(times[1:])
    return found


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()


@dataclass(frozen=True)
class Rate:
    """Manifest GETs in a second, and processor time for each in microseconds, over 16 connections."""

    each_second: float
    processor: float


def rate(server: Server, path: str, headers: dict[str, str], seconds: int) -> Rate:
    url = f"http://127.0.0.1:{server.port}{path}"
    wrk.get(url, 16, 1, headers)
    before = cpu_seconds(server.pid)
    load = wrk.get(url, 16, seconds, headers)
    used = cpu_seconds(server.pid) - before
    return Rate(load.requests / load.seconds, used / load.requests * 1e6)


#: The public project has the same image.
_PRIVATE: Final = "/v2/project1/app0/manifests/v0"
_PUBLIC: Final = "/v2/project10/app0/manifests/v9"


def compared(root: Path, url: str, options: argparse.Namespace) -> dict[str, list[Rate]]:
    """Each round asks each kind once, so that whatever else the machine does meets all."""
    found: dict[str, list[Rate]] = {}
    for _ in range(options.rounds):
        with serving(root, url, people=False) as server:
            found.setdefault("no logins", []).append(rate(server, _PRIVATE, {}, options.seconds))
        with serving(root, url, people=True) as server:
            asked = "/service/token?service=longshore&scope=repository:project1/app0:pull"
            token = json.loads(server.get(asked, "user10"))["token"]
            kinds = {
                "nobody, a public project": (_PUBLIC, {}),
                "a member, Basic": (_PRIVATE, {"Authorization": basic("user10")}),
                "a member, token": (_PRIVATE, {"Authorization": f"Bearer {token}"}),
            }
            for name, (path, headers) in kinds.items():
                found.setdefault(name, []).append(rate(server, path, headers, options.seconds))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill, ask, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--projects", type=int, default=10_000)
    parser.add_argument("--repositories", type=int, default=20_000)
    parser.add_argument("--manifests", type=int, default=100_000)
    parser.add_argument("--tags", type=int, default=1_000_000)
    parser.add_argument("--artifacts", type=int, default=10_000, help="more in one repository")
    parser.add_argument("--groups", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=200_000, help="of the audit log")
    parser.add_argument("--database", help="URL of an empty PostgreSQL; default: SQLite")
    parser.add_argument("--filled", action="store_true", help="the database is full from before")
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5, help="0: no rates of pulls")
    options = parser.parse_args(arguments)
    names = [
        "users",
        "projects",
        "repositories",
        "manifests",
        "tags",
        "artifacts",
        "groups",
        "entries",
    ]
    sizes = {name: getattr(options, name) for name in names}
    crowd = Crowd(**sizes, postgres=bool(options.database))
    with tempfile.TemporaryDirectory(prefix="people-", dir=options.directory) as name:
        root = Path(name)
        url = options.database or f"sqlite:///{name}/longshore.db"
        if not options.filled:
            prepare(root, url, crowd)
        digest = crowd.digest(1).removeprefix("sha256:")
        place = root / f"data/docker/registry/v2/blobs/sha256/{digest[:2]}/{digest}"
        place.mkdir(parents=True)
        (place / "data").write_bytes(MANIFEST)
        with serving(root, url, people=True) as server:
            report_pages(pages(server))
        if options.rounds:
            report_rates(compared(root, url, options))
    return 0


def report_pages(found: dict[str, tuple[float, float]]) -> None:
    print("| list | server time | least |\n| --- | --: | --: |")
    for name, (middle, least) in found.items():
        print(f"| {name} | {middle:.1f} ms | {least:.1f} ms |")


def report_rates(rates: dict[str, list[Rate]]) -> None:
    plain = statistics.median(one.each_second for one in rates["no logins"])
    print("\n| manifest GET | requests/s | of no logins | CPU |\n| --- | --: | --: | --: |")
    for name, several in rates.items():
        middle = statistics.median(one.each_second for one in several)
        used = statistics.median(one.processor for one in several)
        print(f"| {name} | {middle:.0f} | {middle / plain:.2f} | {used:.0f} µs |")


if __name__ == "__main__":
    sys.exit(main())
