"""LDAP directories: whether they answer, and who and what is in them."""

from dataclasses import replace
from typing import Annotated, Final

from fastapi import Query, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from longshore.api import directories
from longshore.api.caller import Calling, in_system
from longshore.api.harbor.usergroups import UserGroup
from longshore.api.services import Services, Serving
from longshore.api.wire import Empty, Router, Shape
from longshore.identity.model import GroupKind
from longshore.ldap import install
from longshore.ldap.model import LDAPServer, Scope, parse_url
from longshore.ldap.settings import HARBOR
from longshore.oci.errors import RegistryError

router = Router(tags=["ldap"])

#: As many as a search gives, and as an import takes.
_MOST: Final = 100
_SCOPES: Final[dict[int, Scope]] = {0: "base", 1: "onelevel", 2: "subtree"}
_LONGEST_TIMEOUT: Final = 60


class LdapConf(Shape):
    """A server to be tried. What is left out is as the configuration's keys have it, or else the first server."""

    ldap_url: Annotated[str, Field(max_length=2048)] = ""
    ldap_search_dn: Annotated[str, Field(max_length=1024)] = ""
    ldap_search_password: Annotated[
        str, Field(max_length=1024, json_schema_extra={"writeOnly": True})
    ] = ""
    ldap_base_dn: Annotated[str, Field(max_length=1024)] = ""
    ldap_filter: Annotated[str, Field(max_length=4096)] = ""
    ldap_uid: Annotated[str, Field(max_length=255)] = ""
    ldap_scope: Annotated[int | None, Field(ge=0, le=2)] = None
    ldap_connection_timeout: Annotated[int, Field(ge=0, le=_LONGEST_TIMEOUT)] = 0
    ldap_verify_cert: bool | None = None


class LdapPingResult(Shape):
    """What came of it."""

    success: bool
    message: str = ""


class LdapUser(Shape):
    """Somebody in a directory."""

    username: str = ""
    realname: str = ""
    email: str = ""


class LdapImportUsers(Shape):
    """Login names of people who are to be users before they first log in."""

    ldap_uid_list: Annotated[
        tuple[Annotated[str, Field(max_length=255)], ...], Field(max_length=_MOST)
    ] = ()


class LdapFailedImportUser(Shape):
    """Who was not made a user, and why."""

    uid: str = ""
    error: str = ""


@router.post("/ldap/ping", dependencies=[in_system("configuration", "read")])
async def ping_ldap(services: Serving, body: LdapConf | None = None) -> LdapPingResult:
    """Try a server, as configured or with other values."""
    configured = list(await directories.servers(services))
    # What Harbor's clients have set themselves is what they mean.
    configured.sort(key=lambda server: server.name != HARBOR)
    try:
        server = _server(body or LdapConf(), configured[0] if configured else None)
    except ValueError as error:
        return LdapPingResult(success=False, message=str(error))
    install.require()
    from longshore.ldap.trial import try_server

    trial = await try_server(server)
    return LdapPingResult(success=not trial.problem, message=trial.problem)


@router.get("/ldap/users/search", dependencies=[in_system("ldap-user", "list")])
async def search_ldap_user(
    services: Serving,
    caller: Calling,
    username: Annotated[str, Query(max_length=255, description="A part of the login name.")] = "",
) -> list[LdapUser]:
    """Search people in the directories."""
    with directories.asking(caller):
        found = await (await directories.lookup(services)).people(username, _MOST)
    return [
        LdapUser(username=person.uid, realname=person.real_name, email=person.mail)
        for person in found
    ]


@router.post(
    "/ldap/users/import",
    response_class=Empty,
    responses={404: {"model": list[LdapFailedImportUser]}},
    dependencies=[in_system("ldap-user", "create")],
)
async def import_ldap_user(body: LdapImportUsers, caller: Calling, services: Serving) -> Response:
    """Make people of the directories users."""
    await directories.lookup(services)
    failed = []
    for uid in body.ldap_uid_list:
        problem = await _import(uid, caller, services)
        if problem:
            failed.append(LdapFailedImportUser(uid=uid, error=problem))
    if failed:
        return JSONResponse([one.model_dump() for one in failed], 404)
    return Empty()


@router.get("/ldap/groups/search", dependencies=[in_system("ldap-user", "list")])
async def search_ldap_group(
    services: Serving,
    caller: Calling,
    groupname: Annotated[str, Query(max_length=255, description="A part of the name.")] = "",
    groupdn: Annotated[str, Query(max_length=1024, description="The whole DN.")] = "",
) -> list[UserGroup]:
    """Search groups in the directories."""
    with directories.asking(caller):
        found = await (await directories.lookup(services)).groups(groupname, groupdn, _MOST)
    return [
        UserGroup(group_name=group.name, group_type=GroupKind.LDAP.value, ldap_group_dn=group.dn)
        for group in found
    ]


async def _import(uid: str, caller: Calling, services: Services) -> str:
    """What was wrong; empty when nothing was."""
    try:
        found = await directories.onboarded(services, uid, caller)
    except RegistryError as error:
        return error.message
    return "" if found is not None else f"no LDAP server knows {uid!r}"


def _server(asked: LdapConf, configured: LDAPServer | None) -> LDAPServer:
    """Raises ValueError."""
    if configured is None and not (asked.ldap_url and asked.ldap_base_dn):
        raise ValueError(
            "no LDAP server is configured, so ldap_url and ldap_base_dn are needed to try one"
        )
    known = configured or LDAPServer("asked", (), "", uid="cn")
    urls = tuple(asked.ldap_url.split()) or known.urls
    for url in urls:
        parse_url(url)
    search_dn = asked.ldap_search_dn or known.search_dn
    password = asked.ldap_search_password
    if not password and (urls, search_dn) == (known.urls, known.search_dn):
        password = known.search_password  # never sent to a server that it is not configured for
    if search_dn and not password:
        raise ValueError("ldap_search_password is needed for another server or ldap_search_dn")
    return replace(
        known,
        urls=urls,
        search_dn=search_dn,
        search_password=password,
        base=asked.ldap_base_dn or known.base,
        filter=asked.ldap_filter or known.filter,
        uid=asked.ldap_uid or known.uid,
        scope=known.scope if asked.ldap_scope is None else _SCOPES[asked.ldap_scope],
        timeout=asked.ldap_connection_timeout or known.timeout,
        verify=known.verify if asked.ldap_verify_cert is None else asked.ldap_verify_cert,
    )
