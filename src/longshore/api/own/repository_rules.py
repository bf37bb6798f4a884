"""Rules about some repositories of a project: what a member, a group, a role or who is no member is given there, or
loses. Who may change members may change rules."""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from longshore.access import refusals
from longshore.access.model import Action
from longshore.api.caller import InProject, in_project
from longshore.api.errors import BadRequest, Forbidden, NotFound
from longshore.api.query import Paged
from longshore.api.services import Services, Serving
from longshore.api.wire import LARGEST_ID, Empty, Id, Router, Shape, created
from longshore.db.database import Connection
from longshore.identity import store, validation
from longshore.identity.errors import Missing
from longshore.identity.permissions import IN_REPOSITORY, Permissions
from longshore.identity.rights import ruling
from longshore.identity.rules import ACTIONS, RepositoryRule, Subject, SubjectKind
from longshore.telemetry import clock

router = Router(tags=["repository-rules"])

ALL = "/projects/{project}/repository-rules"
ONE = ALL + "/{rule_id}"
_NOTHING: Permissions = frozenset()
_Name = Annotated[str, Field(max_length=255)]


class RuleSubject(Shape):
    """Whom a rule concerns: a user or a role by id or by name, a group by id; ``non-member`` is whoever is no
    member, logged in or not."""

    type: Literal["user", "group", "role", "non-member"]
    id: Annotated[int, Field(ge=0, le=LARGEST_ID)] = 0
    name: _Name = ""


class RuleReq(Shape):
    """A rule: ``pattern`` is about names without the project; ``*`` stands for characters within a component, ``**``
    for any components."""

    pattern: _Name
    effect: Literal["allow", "deny"]
    actions: Annotated[list[Literal["pull", "push", "delete"]], Field(min_length=1, max_length=3)]
    subject: RuleSubject


class RuleResp(Shape):
    """A rule, and in words."""

    id: int
    pattern: str
    effect: Literal["allow", "deny"]
    actions: list[str]
    subject: RuleSubject
    description: str

    @classmethod
    def of(cls, rule: RepositoryRule, project: str) -> "RuleResp":
        subject = rule.subject
        return cls(
            id=rule.id,
            pattern=rule.pattern,
            effect="allow" if rule.allows else "deny",
            actions=[action.value for action in ACTIONS if action in rule.actions],
            subject=RuleSubject(type=subject.kind.value, id=subject.id, name=subject.name),
            description=ruling(project, rule, rule.effective, in_full=True),
        )


@router.get(ALL)
async def list_repository_rules(
    page: Paged,
    place: Annotated[InProject, in_project("member", "update")],
    services: Serving,
) -> list[RuleResp]:
    """List the rules of a project."""
    work = partial(store.page_of_rules, project=place.project.id, listing=page.listing)
    found, total = await services.database.read(work)
    page.counted(total)
    return [RuleResp.of(rule, place.project.name) for rule in found]


@router.post(ALL, status_code=201, response_class=Empty)
async def create_repository_rule(
    body: RuleReq,
    place: Annotated[InProject, in_project("member", "create")],
    services: Serving,
) -> Empty:
    """Make a rule."""
    rule = await _rule(0, body, services)
    _may_make(rule, place)
    work = partial(store.add_rule, project=place.project.id, rule=rule, now=clock.timestamp())
    added = await _change(work, "create", rule, place, services)
    return created(f"/api/longshore/v1/projects/{place.project.id}/repository-rules/{added}")


@router.get(ONE)
async def get_repository_rule(
    rule_id: Id, place: Annotated[InProject, in_project("member", "update")], services: Serving
) -> RuleResp:
    """Get a rule."""
    return RuleResp.of(await _existing(rule_id, place, services), place.project.name)


@router.put(ONE, response_class=Empty)
async def update_repository_rule(
    rule_id: Id,
    body: RuleReq,
    place: Annotated[InProject, in_project("member", "update")],
    services: Serving,
) -> Empty:
    """Put another rule in its place."""
    before = await _existing(rule_id, place, services)
    rule = await _rule(rule_id, body, services)
    for either in (before, rule):
        _may_make(either, place)
    work = partial(store.change_rule, project=place.project.id, rule=rule, now=clock.timestamp())
    await _change(work, "update", rule, place, services)
    return Empty()


@router.delete(ONE, response_class=Empty)
async def delete_repository_rule(
    rule_id: Id, place: Annotated[InProject, in_project("member", "delete")], services: Serving
) -> Empty:
    """Remove a rule."""
    rule = await _existing(rule_id, place, services)
    _may_make(rule, place)
    work = partial(store.remove_rule, project=place.project.id, id=rule_id)
    await _change(work, "delete", rule, place, services)
    return Empty()


async def _change(
    work: Any, operation: str, rule: RepositoryRule, place: InProject, services: Services
) -> Any:
    project = place.project.name
    return await services.changes.make(
        work,
        operation,
        "repository-rule",
        rule.pattern,
        project=project,
        description=ruling(project, rule, rule.effective, in_full=True),
        origin=place.caller.origin,
    )


async def _existing(id: int, place: InProject, services: Services) -> RepositoryRule:
    found = await services.database.read(partial(store.find_rule, project=place.project.id, id=id))
    if found is None:
        raise NotFound(f"project {place.project.name!r} has no repository rule {id}")
    return found


async def _rule(id: int, body: RuleReq, services: Services) -> RepositoryRule:
    rule = RepositoryRule(
        id,
        body.pattern,
        body.effect == "allow",
        frozenset(Action(name) for name in body.actions),
        await services.database.read(partial(_subject, given=body.subject)),
    )
    return validation.repository_rule(rule)


def _subject(connection: Connection, given: RuleSubject) -> Subject:
    kind = SubjectKind(given.type)
    try:
        match kind:
            case SubjectKind.NON_MEMBER:
                return Subject(kind)
            case SubjectKind.ROLE:
                role = store.any_role(connection, id=given.id or None, name=given.name)
                return Subject(kind, role.value, role.word)
            case SubjectKind.GROUP:
                group = store.find_group(connection, id=given.id)
                if group is not None:
                    return Subject(kind, group.id, group.name)
            case SubjectKind.USER:
                user = (
                    store.find_user(connection, id=given.id)
                    if given.id
                    else store.find_user(connection, name=given.name)
                )
                if user is not None:
                    return Subject(kind, user.id, user.name)
    except Missing as error:
        raise BadRequest(f"subject: {error}") from error
    raise BadRequest(f"subject: there is no {kind.value} {given.id or given.name!r}")


def _may_make(rule: RepositoryRule, place: InProject) -> None:
    """Nobody gives by a rule, nor takes, what they have not. Raises Forbidden."""
    touched = _NOTHING.union(*(IN_REPOSITORY[action] for action in rule.effective))
    beyond = sorted(touched - place.standing.grantable)
    if beyond:
        raise Forbidden(
            f"the rule is about the permission {beyond[0]}, which user "
            f"{refusals.shown(place.caller.name)} lacks in some of the project: nobody gives or takes by a rule "
            "what they may not do themselves"
        )
