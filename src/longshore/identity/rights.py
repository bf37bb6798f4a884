"""What somebody may do, and why not: the same sentences for clients and for ``longshore why deny``."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from longshore.access import refusals
from longshore.access.model import Access, Action, Principal
from longshore.http.request import Request
from longshore.identity.model import AnyRole, CustomRole, Standing
from longshore.identity.permissions import IN_REPOSITORY, Permission
from longshore.identity.rules import RepositoryRule, SubjectKind, deciding
from longshore.oci.errors import Denied, NameUnknown, RegistryError, Unauthorized
from longshore.oci.names import namespace_of

_ANY: Final = frozenset({Action.ANY})
_NOTHING: Final[frozenset[Action]] = frozenset()
_ORDER: Final = (Action.PULL, Action.PUSH, Action.DELETE)


class Rights:
    """One user's rights in the projects that one request is about: a ``longshore.access.rules.Policy``
    that answers for those projects only."""

    reason = "roles in projects decide"
    admits_anonymous = True

    def __init__(self, standings: Iterable[Standing]) -> None:
        self._standings = {standing.project: standing for standing in standings}

    def allowed(self, principal: Principal, type: str, name: str) -> frozenset[Action]:
        """The actions open on one resource. Everybody who logged in may list repositories; which of
        them they see is another question."""
        if type == "repository":
            return self._standings[namespace_of(name)].actions_in(name)
        known = (type, name) == ("registry", "catalog") and not principal.is_anonymous
        return _ANY if known else _NOTHING

    def refusal(
        self,
        request: Request,
        principal: Principal,
        wanted: Sequence[Access],
        lacking: Sequence[Access],
    ) -> RegistryError:
        """What ``principal``, who logged in, is told. What they may not see looks as if it were not
        there."""
        reasons = self._reasons(lacking)
        hidden = [
            access for access in lacking if not self._standings[namespace_of(access.name)].sees
        ]
        pushes = any(Action.PUSH in access.actions for access in wanted)
        if hidden and not pushes:
            return NameUnknown(
                f"repository {refusals.shown(hidden[0].name)} is not known to this registry: "
                f"{'; '.join(dict.fromkeys(reasons.values()))}",
                detail=_detail(lacking, reasons),
            )
        denied = refusals.denied(
            request, principal, lacking, "; ".join(dict.fromkeys(reasons.values()))
        )
        return Denied(denied.message, detail=_detail(lacking, reasons))

    def login_needed(
        self, request: Request, wanted: Sequence[Access], challenge: str
    ) -> Unauthorized:
        """What somebody is told who did not log in; the same for what is there and what is not."""
        refusal = refusals.login_needed(request, wanted, challenge)
        refusal.detail = _detail(wanted, self._reasons(wanted)) or None
        return refusal

    def _reasons(self, lacking: Sequence[Access]) -> Mapping[str, str]:
        """Repository -> sentence."""
        return {
            access.name: "; ".join(
                dict.fromkeys(
                    why(self._standings[namespace_of(access.name)], access.name, action)
                    for action in access.actions
                )
            )
            for access in lacking
            if access.type == "repository"
        }


def why(standing: Standing, repository: str, action: Action) -> str:
    """Why ``standing.user`` may do ``action`` in ``repository``, or may not; says nothing that they may not
    know."""
    rule = deciding(standing.rules, repository, action)
    if rule is None or (rule.allows and not _adds(standing, repository, action)):
        return _by_role(standing)
    hides = Action.PULL not in standing.actions_in(repository)
    return ruling(standing.project, rule, (action,), in_full=not hides)


def _adds(standing: Standing, repository: str, action: Action) -> bool:
    """Whether rules are what gives ``action``."""
    return action not in standing.actions and action in standing.actions_in(repository)


def taking(standing: Standing, repository: str | None, permission: Permission) -> str:
    """The rule that takes ``permission`` from somebody in ``repository``, as a sentence; empty if none does."""
    for action, included in IN_REPOSITORY.items():
        if repository is not None and permission in included:
            rule = deciding(standing.rules, repository, action)
            if rule is not None and not rule.allows:
                hides = Action.PULL not in standing.actions_in(repository)
                return ruling(standing.project, rule, (action,), in_full=not hides)
    return ""


def ruling(
    project: str, rule: RepositoryRule, actions: Collection[Action], *, in_full: bool
) -> str:
    """What a rule does, as a sentence. ``in_full``: with its pattern, which may say what there is."""
    verb, towards = ("gives", "to") if rule.allows else ("takes", "from")
    listed = " and ".join(action.value for action in _ORDER if action in actions)
    where = f" in {refusals.shown(rule.pattern)}" if in_full else ""
    number = f" {rule.id}" if rule.id else ""
    return (
        f"repository rule{number} of project {refusals.shown(project)} {verb} {listed}{where} "
        f"{towards} {subject_of(rule)}"
    )


def subject_of(rule: RepositoryRule) -> str:
    """Whom it concerns, as a sentence has it."""
    kind, name = rule.subject.kind, rule.subject.name
    match kind:
        case SubjectKind.NON_MEMBER:
            return "whoever is no member"
        case SubjectKind.ROLE:
            return f"the role {refusals.shown(name)}"
        case _:
            return f"{kind.value} {refusals.shown(name)}"


def _by_role(standing: Standing) -> str:
    user, project = refusals.shown(standing.user), refusals.shown(standing.project)
    if not standing.user:
        return "without a login one may only pull, and only from public projects"
    if standing.is_admin:
        if standing.exists:
            return f"user {user} is an administrator and may do everything"
        return (
            f"project {project} does not exist, and administrators push to projects only; "
            f"make it with: longshore project add {standing.project}"
        )
    if standing.is_program:
        return _why_given(standing, user, project)
    if not standing.sees:
        return f"project {project} does not exist, or user {user} is no member of it"
    if standing.roles:
        may = " and ".join(action.value for action in _ORDER if action in standing.actions)
        roles = " and ".join(map(_named, standing.ranked))
        means = f"which is to {may}" if may else "which opens no repository"
        return f"user {user} is {roles} of project {project}, {means}"
    return (
        f"project {project} is public, which is to pull; for more one has to be a member, and user "
        f"{user} is none"
    )


def _named(role: AnyRole) -> str:
    """As a sentence has it: Harbor's are words, custom ones are quoted."""
    return (
        refusals.shown(role.name) if isinstance(role, CustomRole) else role.word.replace("-", " ")
    )


def _why_given(standing: Standing, user: str, project: str) -> str:
    """The same for robots and access tokens."""
    kind = "access token" if standing.token else "robot"
    if not standing.permissions:
        return f"project {project} does not exist, or {kind} {user} has no rights in it"
    may = " and ".join(action.value for action in _ORDER if action in standing.actions)
    what = f"it may {may} there" if may else "none to its images"
    if not standing.given:
        return f"{kind} {user} has no rights in project {project}, which is public and so to pull"
    return f"{kind} {user} has rights in project {project}, but no more: {what}"


def verdict(standing: Standing, repository: str, action: Action) -> tuple[bool, str, str]:
    """Whether ``action`` is allowed in ``repository``, what the user is told, and what only an administrator is
    to know (empty if that is all)."""
    user, project = refusals.shown(standing.user), refusals.shown(standing.project)
    if standing.user and not standing.seal:
        return False, f"unknown user or wrong password for {user}", f"there is no user {user}"
    if standing.disabled:
        return False, f"user {user} is disabled", ""
    if standing.expired:
        return False, f"{user} has expired", ""
    behind = ""
    if not (standing.sees or standing.is_admin):
        behind = (
            f"project {project} exists and is private"
            if standing.exists
            else f"project {project} does not exist"
        )
    sentence = why(standing, repository, action)
    rule = deciding(standing.rules, repository, action)
    if rule is not None and (_adds(standing, repository, action) or not rule.allows):
        whole = ruling(standing.project, rule, (action,), in_full=True)
        behind = whole if whole != sentence else ""
    return action in standing.actions_in(repository), sentence, behind


def _detail(lacking: Sequence[Access], reasons: Mapping[str, str]) -> list[dict[str, str]]:
    """Distribution's form, and the reason."""
    return [
        entry | ({"Reason": reasons[access.name]} if access.name in reasons else {})
        for access in lacking
        for entry in refusals.detail([access]) or ()
    ]
