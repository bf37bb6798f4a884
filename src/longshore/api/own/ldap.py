"""LDAP directories, query by query."""

from typing import Annotated

from fastapi import Body
from pydantic import Field

from longshore.api import directories
from longshore.api.caller import in_system
from longshore.api.errors import NotFound
from longshore.api.services import Serving
from longshore.api.wire import Router, Shape
from longshore.ldap.model import Person
from longshore.ldap.trial import Trial

router = Router(tags=["ldap"])

_LONGEST = 255


class LDAPTestRequest(Shape):
    """Whom to look for; without ``user`` the server alone is tried, without ``password`` nobody logs in."""

    server: Annotated[str, Field(max_length=_LONGEST)] = ""
    user: Annotated[str, Field(max_length=_LONGEST)] = ""
    password: Annotated[str, Field(max_length=1024, json_schema_extra={"writeOnly": True})] = ""


class LDAPTestQuery(Shape):
    """One thing that a server was asked."""

    what: str
    server: str
    milliseconds: float
    result: str


class LDAPTestGroup(Shape):
    """A group that somebody is in."""

    dn: str
    name: str


class LDAPTestPerson(Shape):
    """Who was found. ``is_admin`` is missing when no group of administrators is configured."""

    dn: str
    uid: str
    subject: str
    mail: str
    real_name: str
    groups: list[LDAPTestGroup]
    is_admin: bool | None = None

    @classmethod
    def of(cls, person: Person) -> "LDAPTestPerson":
        return cls(
            dn=person.dn,
            uid=person.uid,
            subject=person.subject,
            mail=person.mail,
            real_name=person.real_name,
            groups=[LDAPTestGroup(dn=group.dn, name=group.name) for group in person.groups],
            is_admin=person.is_admin,
        )


class LDAPTestResult(Shape):
    """What came of one server: ``problem`` says what was wrong, empty when nothing was."""

    server: str
    ok: bool
    problem: str
    milliseconds: float
    queries: list[LDAPTestQuery]
    person: LDAPTestPerson | None = None

    @classmethod
    def of(cls, trial: Trial) -> "LDAPTestResult":
        return cls(
            server=trial.server,
            ok=not trial.problem,
            problem=trial.problem,
            milliseconds=trial.milliseconds,
            queries=[
                LDAPTestQuery(
                    what=query.what,
                    server=query.server,
                    milliseconds=query.milliseconds,
                    result=query.result,
                )
                for query in trial.queries
            ],
            person=None if trial.person is None else LDAPTestPerson.of(trial.person),
        )


@router.post("/ldap/test", dependencies=[in_system("configuration", "read")])
async def try_ldap_servers(
    services: Serving, body: Annotated[LDAPTestRequest | None, Body()] = None
) -> list[LDAPTestResult]:
    """Ask each server as a login would; every query with its time and result."""
    asked = body or LDAPTestRequest()
    servers = await directories.servers(services)
    if not servers:
        raise directories.none_known(services)
    chosen = [server for server in servers if asked.server in ("", server.name)]
    if not chosen:
        raise NotFound(f"there is no LDAP server {asked.server!r}")
    from longshore.ldap.trial import try_server

    user, password = asked.user or None, asked.password or None
    return [LDAPTestResult.of(await try_server(server, user, password)) for server in chosen]
