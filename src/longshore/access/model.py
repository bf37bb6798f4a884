"""Who is asking and may they: the values and the two protocols that every kind of login shares."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from longshore.http.request import Request
from longshore.oci.errors import RegistryError
from longshore.oci.names import RepositoryName


class Action(StrEnum):
    """What may be done to a repository (Docker token scope actions)."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    ANY = "*"


@dataclass(frozen=True, slots=True)
class Access:
    """One right that a request needs: ``repository:team/app:pull,push`` or ``registry:catalog:*``."""

    type: str
    name: str
    actions: tuple[Action, ...]

    @classmethod
    def repository(cls, name: RepositoryName, *actions: Action) -> "Access":
        return cls("repository", name, actions)

    @classmethod
    def catalog(cls) -> "Access":
        return cls("registry", "catalog", (Action.ANY,))

    @property
    def scope(self) -> str:
        return f"{self.type}:{self.name}:{','.join(self.actions)}"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody: the name that logs show (empty for anonymous) and how they proved it."""

    name: str
    method: str
    groups: Collection[str] = ()

    @property
    def is_anonymous(self) -> bool:
        return not self.name


ANONYMOUS = Principal("", "none")


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to an allowed request. ``expired`` is true when a token was accepted past its end
    because an upload that its subject had begun was still open."""

    principal: Principal
    expired: bool = False
    details: dict[str, str] = field(default_factory=dict)


class AccessController(Protocol):
    """Decides about one request. Two outcomes only: a Grant, or a raised refusal."""

    async def authorize(
        self, request: Request, wanted: Sequence[Access], *, upload_owner: str | None = None
    ) -> Grant:
        """Allow ``request`` to do everything in ``wanted`` (nothing for ``GET /v2/``).

        ``upload_owner`` names who began the upload that this request continues; a token that is
        valid in everything but its expiry is then accepted if its subject is that name.

        Raises Unauthorized (with the challenge in its headers) when somebody else, or somebody at
        all, might be allowed; Denied when this principal is known and may not.
        """

    async def may_pull(self, request: Request, name: RepositoryName) -> bool:
        """Whether the same requester may read ``name``; for mounts. Never raises a refusal."""
        try:
            await self.authorize(request, [Access.repository(name, Action.PULL)])
        except RegistryError:
            return False
        return True

    async def readable(self, request: Request, names: Sequence[str]) -> Sequence[str]:
        """Those of the repositories ``names`` that the requester may be told of, in the same order;
        asked after the catalog was authorized."""
        return names

    async def start(self) -> None:
        """Read files and start watching them; a broken one is reported here, before serving."""

    async def stop(self) -> None:
        """Stop watching."""
