"""Programs that are nobody's user: pipelines that prove themselves with a token of their platform."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from longshore.access import refusals
from longshore.access.header import Login
from longshore.access.model import Access, Action, Principal
from longshore.http.request import Request
from longshore.identity.model import Standing
from longshore.oci.errors import Denied, NameUnknown, RegistryError, Unauthorized
from longshore.oci.names import namespace_of

#: What their names begin with. No user's name holds a colon.
PREFIX: Final = "workload:"
_NOTHING: Final[frozenset[Action]] = frozenset()


class WorkloadRefused(Exception):
    """A login that is no good. The message is a sentence for whoever sent it."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One of them: ``name`` begins with ``workload:``, ``may`` says what the rules let it do to a
    repository. ``credential`` stands for it until ``expires`` (POSIX seconds)."""

    name: str
    may: Callable[[str], frozenset[Action]]
    credential: str = field(repr=False)
    expires: float

    @property
    def record(self) -> str:
        """What tokens of this workload carry, for :meth:`Workloads.recall`. Whoever reads a token finds it:
        it says who it is, and without a signature it is no login."""
        return self.credential.rpartition(".")[0]


class Workloads(Protocol):
    """Knows them by their tokens."""

    def knows(self, login: Login) -> bool:
        """Whether ``login`` is one of theirs, good or not: no user has it then."""

    async def admit(self, login: Login) -> Workload:
        """Who it is. Raises WorkloadRefused; Unavailable when their platform does not answer."""

    def recall(self, record: str) -> Workload:
        """Who a token is of that carries ``record`` and was verified, and what the rules let them do now; also
        when their login has expired. Raises WorkloadRefused for one that no rule concerns any more."""

    async def start(self) -> None:
        """Called once, before the first login."""

    async def stop(self) -> None:
        """Called once, after the last."""


class WorkloadRights:
    """What one of them may do in the projects that a request is about: as
    ``longshore.identity.rights.Rights`` for users."""

    reason = "the rules of longshore.workload decide"
    admits_anonymous = False

    def __init__(self, workload: Workload, standings: Iterable[Standing]) -> None:
        """``standings`` are those of nobody before the projects."""
        self._workload = workload
        self._standings = {standing.project: standing for standing in standings}

    def allowed(self, principal: Principal, type: str, name: str) -> frozenset[Action]:
        """The actions open on one resource. Rules make no projects: what does not exist is closed."""
        if type != "repository":
            return _NOTHING
        standing = self._standings[namespace_of(name)]
        return (self._workload.may(name) if standing.exists else _NOTHING) | standing.actions_in(
            name
        )

    def refusal(
        self,
        request: Request,
        principal: Principal,
        wanted: Sequence[Access],
        lacking: Sequence[Access],
    ) -> RegistryError:
        """What ``principal`` is told. What it may not see looks as if it were not there."""
        reason = "; ".join(dict.fromkeys(self._why(principal, access) for access in lacking))
        pushes = any(Action.PUSH in access.actions for access in wanted)
        hidden = [
            access
            for access in lacking
            if access.type == "repository"
            and Action.PULL not in self.allowed(principal, access.type, access.name)
        ]
        if hidden and not pushes:
            name = refusals.shown(hidden[0].name)
            return NameUnknown(
                f"repository {name} is not known to this registry: {reason}",
                detail=refusals.detail(lacking),
            )
        denied = refusals.denied(request, principal, lacking, reason)
        return Denied(denied.message, detail=denied.detail)

    def login_needed(
        self, request: Request, wanted: Sequence[Access], challenge: str
    ) -> Unauthorized:
        """Nothing is open to nobody here; asked for completeness."""
        return refusals.login_needed(request, wanted, challenge)

    def _why(self, principal: Principal, access: Access) -> str:
        name = refusals.shown(principal.name)
        if access.type != "repository":
            return f"{name} is a workload, and workloads have rights to repositories only"
        project = namespace_of(access.name)
        if self._workload.may(access.name) >= frozenset(access.actions):
            return (
                f"a rule of longshore.workload allows it to {name}, but there is no project "
                f"{refusals.shown(project)}; make it with: longshore project add {project}"
            )
        return f"no rule of longshore.workload allows it to {name}"
