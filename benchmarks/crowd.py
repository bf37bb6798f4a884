"""The rows of a registry with many users and projects, for benchmarks.people."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.filling import Row
from longshore.access.passwords import hash_argon2

PASSWORD: Final = "Secret12"
#: Who asks: an administrator, a member of one project, and one of every fifth and, by a group, every tenth.
ADMINISTRATOR: Final = "user2"
MEMBER: Final = "user10"
BUSY: Final = "user4"
MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
MANIFEST: Final = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": _CONFIG, "digest": f"sha256:{'0' * 64}", "size": 2},
        "layers": [],
    }
).encode()
_AT: Final = 1_700_000_000.0
_BUSY_ID: Final = 4
_BUSY_GROUP: Final = 1
#: The repositories with many artifacts, and with many tags of one.
LARGE: Final = 2
TAGGED: Final = 3
#: Manifests of one repository that only an index lists, and signatures as cosign tags them.
_CHILDREN: Final = 1000
_SIGNATURES: Final = 100
_MANIFEST: Final = "id, repository_id, digest, media_type, artifact_type, size, pushed_at"
_ENTRY: Final = (
    "id, at, actor, address, operation, resource_type, resource, project, description, successful, user_agent, "
    "request_id, event_id, previous, key_id, seal"
)
_ROBOT: Final = (
    "name, project_id, description, permissions, duration, disabled, creator_kind, creator_id, "
    "secret_hash, networks, created_at, updated_at"
)
Table = tuple[str, str, Iterable[Row]]


@dataclass(frozen=True)
class Crowd:
    """How many there are of each. ``postgres``: what a flag is there."""

    users: int
    projects: int
    repositories: int
    manifests: int
    tags: int
    artifacts: int
    groups: int
    entries: int
    postgres: bool = False

    def rows(self) -> Iterator[Table]:
        """Table, columns, rows, in an order that references allow."""
        yield from self._people()
        yield from self._projects()
        yield from self._contents()
        yield from self._blobs()
        yield from self._tags()

    def _people(self) -> Iterator[Table]:
        hashed = hash_argon2(PASSWORD.encode())
        yield (
            "users",
            "id, name, email, real_name, password_hash, is_admin, disabled, created_at, updated_at, comment",
            (
                (
                    *(n, f"user{n}", f"user{n}@example.org", f"User {n * 7919 % self.users}"),
                    *(hashed, self._flag(n == 2), self._flag(False), _AT + n, _AT + n, ""),
                )
                for n in range(2, self.users + 2)
            ),
        )
        yield (
            "user_groups",
            "id, kind, name, external_id, created_at",
            ((n, 3, f"group{n}", f"group{n}", _AT) for n in range(1, self.groups + 1)),
        )
        yield (
            "user_group_members",
            "group_id, user_id",
            (
                (n, (n * 31 + k) % self.users + 3)
                for n in range(1, self.groups + 1)
                for k in range(10)
            ),
        )
        yield "user_group_members", "group_id, user_id", ((_BUSY_GROUP, _BUSY_ID),)
        yield "audit_log", _ENTRY, (self._entry(n) for n in range(1, self.entries + 1))

    def _projects(self) -> Iterator[Table]:
        """Five members in each, beside the busy one."""
        numbers = range(1, self.projects + 1)
        yield (
            "projects",
            "id, name, public, metadata, owner_id, created_at, updated_at",
            (
                (n, f"project{n}", self._flag(n % 10 == 0), "{}", n % 100 + 2, _AT + n, _AT + n)
                for n in numbers
            ),
        )
        yield (
            "project_members",
            "project_id, user_id, role",
            ((n, (n * 7 + k) % self.users + 3, k % 5 + 1) for n in numbers for k in range(5)),
        )
        yield (
            "project_members",
            "project_id, user_id, role",
            ((n, _BUSY_ID, 3) for n in numbers[2::5]),
        )
        yield (
            "project_members",
            "project_id, group_id, role",
            ((n, _BUSY_GROUP, 2) for n in numbers[6::10]),
        )
        yield (
            "labels",
            "id, owner, project_id, name, description, color, created_at, updated_at",
            ((n, 0, None, f"label{n}", "", "", _AT, _AT) for n in range(1, self.groups + 1)),
        )
        yield "robots", _ROBOT, (self._robot(n) for n in numbers)
        yield (
            "project_quotas",
            "project_id, storage_hard, created_at, updated_at",
            ((n, n << 30, _AT, _AT) for n in numbers[::2]),
        )

    def _contents(self) -> Iterator[Table]:
        numbers = range(1, self.repositories + 1)
        yield (
            "repositories",
            "id, name, namespace, created_at",
            (
                (n, f"{self.project(n)}/app{n // self.projects}", self.project(n), _AT + n)
                for n in numbers
            ),
        )
        yield (
            "repository_details",
            "repository_id, description, pull_count, updated_at",
            ((n, f"What {n} is", n * 7919 % 1000, _AT + n) for n in numbers[::2]),
        )
        yield "manifests", _MANIFEST, (self._manifest(n, r) for n, r in self._places())
        yield (
            "artifact_details",
            "manifest_id, extra",
            ((n, '{"os": "linux", "architecture": "amd64"}') for n, _ in self._places()),
        )
        yield (
            "artifact_labels",
            "manifest_id, label_id",
            ((n, n % self.groups + 1) for n, _ in self._places() if n % 4 == 0),
        )

    def _blobs(self) -> Iterator[Table]:
        """Each manifest has a config and a layer of its own, and one that all of its repository have."""
        yield (
            "blobs",
            "digest, size, created_at",
            (
                row
                for n, _ in self._places()
                for row in (
                    (digest_of(f"config {n}"), 2000, _AT),
                    (digest_of(f"layer {n}"), 1_000_000 + n, _AT),
                )
            ),
        )
        bases = {repository for _, repository in self._places()}
        yield "blobs", "digest, size, created_at", ((_base(r), 30_000_000, _AT) for r in bases)
        linked = "repository_id, digest, linked_at"
        yield (
            "repository_blobs",
            linked,
            (
                (r, digest, _AT)
                for n, r in self._places()
                for digest in (digest_of(f"config {n}"), digest_of(f"layer {n}"))
            ),
        )
        yield "repository_blobs", linked, ((r, _base(r), _AT) for r in bases)
        yield (
            "manifest_references",
            "manifest_id, repository_id, digest, kind, size, position",
            (
                (n, r, digest, "blob", size, position)
                for n, r in self._places()
                for position, (digest, size) in enumerate(
                    (
                        (digest_of(f"config {n}"), 2000),
                        (_base(r), 30_000_000),
                        (digest_of(f"layer {n}"), 1_000_000 + n),
                    )
                )
            ),
        )
        children = self._last() - _CHILDREN
        yield (
            "manifest_references",
            "manifest_id, repository_id, digest, kind, size, position",
            (
                (self.manifests + n, LARGE, self.digest(children + n), "child", 500, 3)
                for n in range(1, _CHILDREN + 1)
            ),
        )

    def _tags(self) -> Iterator[Table]:
        columns = "repository_id, name, digest, updated_at"
        yield (
            "tags",
            columns,
            (
                (self.repository(m), f"v{n}", self.digest(m), _AT + n)
                for n in range(self.tags)
                for m in (n % self.manifests + 1,)
            ),
        )
        yield (
            "tags",
            columns,
            ((TAGGED, f"of{n}", self.digest(TAGGED), _AT + n) for n in range(self.artifacts)),
        )
        yield (
            "tags",
            columns,
            (
                (
                    LARGE,
                    f"sha256-{self.digest(self.manifests + 2 * n)[7:]}.sig",
                    self.digest(self.manifests + 2 * n + 1),
                    _AT,
                )
                for n in range(1, _SIGNATURES + 1)
            ),
        )

    def _places(self) -> Iterator[tuple[int, int]]:
        """Each manifest with its repository."""
        for n in range(1, self._last() + 1):
            yield n, self.repository(n) if n <= self.manifests else LARGE

    def _last(self) -> int:
        return self.manifests + self.artifacts + _CHILDREN

    def _manifest(self, n: int, repository: int) -> Row:
        size = 500 + n * 7919 % 1000
        return n, repository, self.digest(n), MANIFEST_TYPE, _CONFIG, size, _AT + n

    def _robot(self, n: int) -> Row:
        disabled = self._flag(False)
        return (*(f"project{n}+ci", n, "", "[]", 30, disabled, "local", 2, f"{n}", "[]", _AT, _AT),)

    def _entry(self, n: int) -> Row:
        """A row of the audit log: somebody pushed something, or at times removed it."""
        project = f"project{n % self.projects + 1}"
        return (
            *(n, _AT + n, f"user{n % self.users + 2}", "192.0.2.1"),
            *("create" if n % 10 else "delete", "artifact", f"{project}/app0:v{n}", project),
            *("", self._flag(True), "docker/27", f"{n:x}", f"{n:x}", "", "", ""),
        )

    def _flag(self, value: bool) -> Any:
        return value if self.postgres else int(value)

    def project(self, repository: int) -> str:
        """Its name."""
        return f"project{repository % self.projects or self.projects}"

    def repository(self, manifest: int) -> int:
        """The number of that in which it is, of those that are spread evenly."""
        return manifest % self.repositories or self.repositories

    def digest(self, manifest: int) -> str:
        """Of a manifest; the first and the tenth are there to be pulled."""
        if manifest in (1, 10):
            return f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
        return digest_of(str(manifest))


def digest_of(text: str) -> str:
    """SHA-256, as registries write it."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _base(repository: int) -> str:
    return digest_of(f"base {repository}")
