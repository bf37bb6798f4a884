"""Who sends a request, and what each route asks of them.

A route names its rule as a dependency: :func:`anybody`, :func:`somebody`, :func:`in_person`, :func:`enrolling`,
:func:`in_system` or :func:`in_project`. Nothing is allowed without one; a test looks at every route.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final
from urllib.parse import unquote

from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute

from longshore.access import header, refusals
from longshore.api import cookies
from longshore.api.browsers import current, not_enrolled
from longshore.api.errors import Forbidden, NotFound
from longshore.api.services import Services, Serving
from longshore.http.mounted import SCOPE_KEY
from longshore.http.request import Request as RegistryRequest
from longshore.identity import permissions, store
from longshore.identity.controller import ProjectController
from longshore.identity.model import Project, Session, Standing, View
from longshore.identity.permissions import Permission, Permissions
from longshore.identity.rights import taking
from longshore.oci.errors import Unauthorized
from longshore.outbox.model import Origin

#: Where the description of a route says what it asks of the caller.
RULE_KEY: Final = "x-longshore-needs"
_MAKES_USERS: Final = Permission("user", "create")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request: ``standing`` is theirs before no project. ``refusal`` says what was wrong with
    credentials that were sent and are not good: where no login is needed they do not matter. ``session``
    is the one that the request belongs to, if any. ``enrolling`` is whose it is when it is good for nothing but
    enrolling a second factor: everything else is refused as if nobody had logged in."""

    standing: Standing
    origin: Origin
    people: ProjectController
    refusal: Unauthorized | None = None
    session: Session | None = None
    enrolling: Standing | None = None

    @property
    def name(self) -> str:
        """Empty: nobody logged in."""
        return self.standing.user

    @property
    def user_id(self) -> int | None:
        """Of the user; None for who did not log in, for robots, and for access tokens that may do less than
        their user: they are not to change or see what is the user's own."""
        return None if self.standing.limited else self.standing.user_id or None

    @property
    def view(self) -> View:
        """Which projects are in their lists."""
        return self.standing.sight

    @property
    def is_anonymous(self) -> bool:
        return not self.standing.user

    @property
    def is_admin(self) -> bool:
        return self.standing.is_admin

    @property
    def permissions(self) -> Permissions:
        """What they may do beside projects."""
        return permissions.SYSTEM if self.is_admin else self.standing.system

    async def before(self, project: str) -> Standing:
        """Their standing before a project."""
        return await self.people.standing(self.name, project)

    def logged_in(self) -> None:
        """Raises Unauthorized when they did not, or not well."""
        if self.refusal is not None:
            raise self.refusal
        if self.is_anonymous:
            raise Unauthorized("this needs a login: send a user name and a password (Basic)")


def registry_request(request: Request) -> RegistryRequest:
    """Our own request, which this one is made of."""
    found: RegistryRequest = request.scope[SCOPE_KEY]
    return found


async def _caller(request: Request, services: Serving) -> Caller:
    ours = registry_request(request)
    refusal: Unauthorized | None = None
    session, enrolling = None, None
    try:
        if header.authorization(ours) or cookies.SESSION not in ours.cookies:
            standing = await services.people.recognise(ours)
        else:
            session, standing = await _in_session(ours, services)
            if not session.provider and services.people.lacks_second_factor(standing):
                enrolling, standing = standing, Standing("", "")
                refusal = not_enrolled(session)
    except Unauthorized as error:
        standing, refusal = Standing("", ""), error
    exchange = ours.exchange
    exchange.user = standing.user if enrolling is None else enrolling.user
    origin = Origin(
        exchange.user,
        exchange.client,
        ours.scope["scheme"],
        exchange.host,
        exchange.method,
        exchange.user_agent,
        exchange.request_id,
    )
    return Caller(standing, origin, services.people, refusal, session, enrolling)


async def _in_session(request: RegistryRequest, services: Services) -> tuple[Session, Standing]:
    """The session that a request belongs to, and whose it is. Raises Unauthorized."""
    session = await services.sessions.find(request.cookies[cookies.SESSION])
    standing = await current(services.people, session)
    if session is not None and standing is not None:
        await services.sessions.used(session)
        return session, standing
    raise Unauthorized(
        "the session has ended: log in again, or send a user name and a password (Basic)"
    )


Calling = Annotated[Caller, Depends(_caller)]


@dataclass(frozen=True, slots=True)
class InProject:
    """A project, and who the caller is in it."""

    caller: Caller
    project: Project
    standing: Standing

    def may(self, resource: str, action: str) -> bool:
        """Whether the caller may do more than the route asks."""
        return Permission(resource, action) in self.standing.permissions


@dataclass(frozen=True, slots=True)
class AnybodyRule:
    """No login is needed; what is shown may depend on who asks."""

    needs = "nothing; what is shown depends on who asks"

    async def __call__(self, caller: Calling) -> Caller:
        return caller


@dataclass(frozen=True, slots=True)
class SomebodyRule:
    """A login is needed."""

    needs = "a login"

    async def __call__(self, caller: Calling) -> Caller:
        caller.logged_in()
        return caller


@dataclass(frozen=True, slots=True)
class PersonRule:
    """A user is needed who is here in person: with the password, with a session, or known by a provider. What
    a token changed of its user would outlast it."""

    needs = "a user in person: neither a robot nor an access token"

    async def __call__(self, caller: Calling) -> Caller:
        caller.logged_in()
        if caller.user_id is None or caller.standing.token:
            raise Forbidden(
                f"{refusals.shown(caller.name)} is a robot or an access token: for this, log in with the "
                "password or use a session"
            )
        return caller


@dataclass(frozen=True, slots=True)
class EnrollingRule:
    """A user is needed who is here in person, and a session that is good for nothing else is good enough: the
    caller is its user then."""

    needs = "a user in person, also in a session that is only good for enrolling a second factor"

    async def __call__(self, caller: Calling) -> Caller:
        return await PersonRule()(enrolling_caller(caller))


@dataclass(frozen=True, slots=True)
class SystemRule:
    """A permission beside projects is needed."""

    permission: Permission

    @property
    def needs(self) -> str:
        return f"the permission {self.permission} of the system"

    async def __call__(self, caller: Calling) -> Caller:
        caller.logged_in()
        if self.permission not in caller.permissions:
            raise lacking(caller, self.permission)
        return caller


@dataclass(frozen=True, slots=True)
class RegistrationRule:
    """The permission to make users is needed, or, without a login, that people may make themselves one."""

    permission: Permission = _MAKES_USERS

    @property
    def needs(self) -> str:
        return (
            f"the permission {self.permission} of the system; nothing while self_registration is on"
        )

    async def __call__(self, caller: Calling, services: Serving) -> Caller:
        if caller.is_anonymous and caller.refusal is None and await services.system.may_register():
            return caller
        caller.logged_in()
        if self.permission not in caller.permissions:
            raise lacking(caller, self.permission)
        return caller


@dataclass(frozen=True, slots=True)
class ProjectRule:
    """A permission in the project that the path names is needed. ``by_name``: digits are no id there."""

    permission: Permission
    by_name: bool = False

    @property
    def needs(self) -> str:
        return f"the permission {self.permission} in the project"

    async def __call__(
        self,
        request: Request,
        project: str,
        caller: Calling,
        services: Serving,
        is_name: Annotated[
            bool | None,
            Header(
                alias="X-Is-Resource-Name",
                description="Whether the project is given by name; otherwise digits are an id.",
            ),
        ] = None,
    ) -> InProject:
        by_id = project.isascii() and project.isdigit() and not (is_name or self.by_name)
        key: Mapping[str, Any] = (
            {"id": min(int(project[:19]), 2**63 - 1)} if by_id else {"name": project}
        )
        found = await services.database.read(
            lambda connection: store.find_project(connection, **key)
        )
        if found is None:
            caller.logged_in()
            # Only administrators are told what there is.
            raise (
                _unknown(project) if caller.is_admin else _hidden(caller, self.permission, project)
            )
        standing = await caller.before(found.name)
        repository = _named(request, found) if standing.rules else None
        if self.permission not in _granted(standing, repository):
            caller.logged_in()
            raise _hidden(
                caller, self.permission, project, taking(standing, repository, self.permission)
            )
        return InProject(caller, found, standing)


Rule = (
    AnybodyRule
    | SomebodyRule
    | PersonRule
    | EnrollingRule
    | SystemRule
    | RegistrationRule
    | ProjectRule
)


def rule_of(route: APIRoute) -> Rule:
    """What a route asks of the caller. Raises ValueError when it names no rule, or several."""
    (found,) = [
        dependency.call
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, Rule)
    ]
    return found


def anybody() -> Any:
    """For routes that need no login."""
    return Depends(AnybodyRule())


def somebody() -> Any:
    """For routes that need a login, and no more."""
    return Depends(SomebodyRule())


def in_person() -> Any:
    """For routes to what is a user's own, and to secrets of theirs."""
    return Depends(PersonRule())


def enrolling() -> Any:
    """For what somebody needs to enrol a second factor: the caller is :data:`Enrolling`."""
    return Depends(EnrollingRule())


def enrolling_caller(caller: Calling) -> Caller:
    """The caller, with the rights to themselves that a session has that is only good for enrolling."""
    if caller.enrolling is None:
        return caller
    return replace(caller, standing=caller.enrolling, refusal=None)


#: The caller of a route for :func:`enrolling`.
Enrolling = Annotated[Caller, Depends(enrolling_caller)]


def in_system(resource: str, action: str) -> Any:
    """For routes that need a permission beside projects."""
    return Depends(SystemRule(Permission(resource, action)))


def registering() -> Any:
    """For making a user: others, or oneself."""
    return Depends(RegistrationRule())


def in_project(resource: str, action: str, *, by_name: bool = False) -> Any:
    """For routes below ``/projects/{project}``; ``by_name``: where Harbor takes no id."""
    return Depends(ProjectRule(Permission(resource, action), by_name))


def lacking(caller: Caller, permission: Permission) -> Forbidden:
    """403 that says what is missing."""
    return Forbidden(f"user {refusals.shown(caller.name)} lacks the permission {permission}")


def _hidden(caller: Caller, permission: Permission, project: str, because: str = "") -> Forbidden:
    """The same whether there is no such project or the caller may not do that there; ``because`` names the rule
    that takes it from them."""
    return Forbidden(
        f"user {refusals.shown(caller.name)} lacks the permission {permission} in project "
        f"{refusals.shown(project)}, {because or 'or there is no such project'}"
    )


def _named(request: Request, project: Project) -> str | None:
    """The repository that the path names, as :mod:`longshore.api.harbor.places` finds it."""
    inner = request.path_params.get("repository")
    return None if inner is None else f"{project.name}/{unquote(inner)}"


def _granted(standing: Standing, repository: str | None) -> Permissions:
    """Of lists of a project's repositories, handlers show what may be pulled."""
    return standing.listable if repository is None else standing.permissions_in(repository)


def _unknown(project: str) -> NotFound:
    return NotFound(f"there is no project {refusals.shown(project)}")
