"""Every route of the management API and everybody: who gets in. A route without a row fails."""

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from longshore.api import application
from longshore.api.caller import rule_of
from longshore.identity.model import Role

pytestmark = pytest.mark.anyio

#: The letters of the table: who somebody is in the private project that paths name.
WHO = {
    "A": "admin",
    "P": "project-admin",
    "M": "maintainer",
    "D": "developer",
    "G": "guest",
    "L": "limited-guest",
    "S": "stranger",
    "N": "",
}
ALL = "APMDGLSN"
LOGGED_IN = "APMDGLS"
MEMBERS = "APMDGL"

#: Below /api/v2.0 unless they begin with /api or /c. Who is let in may still be told that what they send is
#: nonsense; who is not let in gets 401 or 403.
TABLE = {
    "GET /": ALL,
    "GET ": ALL,
    "GET /users": "A",
    "POST /users": "A",
    "GET /users/current": LOGGED_IN,
    "GET /users/current/permissions": LOGGED_IN,
    "GET /users/search": LOGGED_IN,
    "GET /users/{user_id}": "A",
    "PUT /users/{user_id}": "A",
    "DELETE /users/{user_id}": "A",
    "PUT /users/{user_id}/sysadmin": "A",
    "PUT /users/{user_id}/password": "A",
    "PUT /users/{user_id}/cli_secret": "A",
    "GET /permissions": "AP",
    "GET /configurations": "A",
    "PUT /configurations": "A",
    "GET /systeminfo": ALL,
    "GET /systeminfo/volumes": "A",
    "GET /health": ALL,
    "GET /ping": ALL,
    "GET /api/version": ALL,
    "GET /usergroups": "A",
    "POST /usergroups": "A",
    "GET /usergroups/search": LOGGED_IN,
    "GET /usergroups/{group_id}": "A",
    "PUT /usergroups/{group_id}": "A",
    "DELETE /usergroups/{group_id}": "A",
    "GET /quotas": "A",
    "GET /quotas/{id}": "A",
    "PUT /quotas/{id}": "A",
    "GET /projects": ALL,
    "HEAD /projects": LOGGED_IN,
    "POST /projects": LOGGED_IN,
    "GET /projects/{project}": MEMBERS,
    "PUT /projects/{project}": "AP",
    "DELETE /projects/{project}": "AP",
    "GET /projects/{project}/_deletable": "AP",
    "GET /projects/{project}/summary": MEMBERS,
    "GET /projects/{project}/metadatas": "A",
    "POST /projects/{project}/metadatas": "AP",
    "GET /projects/{project}/metadatas/{meta_name}": "APM",
    "PUT /projects/{project}/metadatas/{meta_name}": "AP",
    "DELETE /projects/{project}/metadatas/{meta_name}": "AP",
    "GET /projects/{project}/members": "APMDG",
    "POST /projects/{project}/members": "AP",
    "GET /projects/{project}/members/{mid}": "APMDG",
    "PUT /projects/{project}/members/{mid}": "AP",
    "DELETE /projects/{project}/members/{mid}": "AP",
    "GET /audit-logs": LOGGED_IN,
    "GET /auditlog-exts": LOGGED_IN,
    "GET /auditlog-exts/events": "A",
    "GET /projects/{project}/logs": "AP",
    "GET /projects/{project}/auditlog-exts": "AP",
    "GET /repositories": ALL,
    "GET /projects/{project}/repositories": MEMBERS,
    "GET /projects/{project}/repositories/{repository:path}": MEMBERS,
    "PUT /projects/{project}/repositories/{repository:path}": "APMD",
    "DELETE /projects/{project}/repositories/{repository:path}": "APM",
    "GET /projects/{project}/artifacts": MEMBERS,
    "GET /projects/{project}/repositories/{repository:path}/artifacts": MEMBERS,
    "POST /projects/{project}/repositories/{repository:path}/artifacts": "APMD",
    "GET /projects/{project}/repositories/{repository:path}/artifacts/{reference}": MEMBERS,
    "DELETE /projects/{project}/repositories/{repository:path}/artifacts/{reference}": "APM",
    "GET /projects/{project}/repositories/{repository:path}/artifacts/{reference}/accessories": MEMBERS,
    "GET /projects/{project}/repositories/{repository:path}/artifacts/{reference}/additions/vulnerabilities": MEMBERS,
    "GET /projects/{project}/repositories/{repository:path}/artifacts/{reference}/additions/{addition}": MEMBERS,
    "POST /projects/{project}/repositories/{repository:path}/artifacts/{reference}/labels": "APMD",
    "DELETE /projects/{project}/repositories/{repository:path}/artifacts/{reference}/labels/{label_id}": "APMD",
    "GET /projects/{project}/repositories/{repository:path}/artifacts/{reference}/tags": MEMBERS,
    "POST /projects/{project}/repositories/{repository:path}/artifacts/{reference}/tags": "APMD",
    "DELETE /projects/{project}/repositories/{repository:path}/artifacts/{reference}/tags/{tag_name}": "APM",
    "GET /labels": ALL,
    "POST /labels": LOGGED_IN,
    "GET /labels/{label_id}": "A",
    "PUT /labels/{label_id}": "A",
    "DELETE /labels/{label_id}": "A",
    # Which robots one reaches depends on the robot: there is none here.
    "GET /robots": "A",
    "POST /robots": LOGGED_IN,
    "GET /robots/{robot_id}": "A",
    "PUT /robots/{robot_id}": "A",
    "PATCH /robots/{robot_id}": "A",
    "DELETE /robots/{robot_id}": "A",
    "GET /search": ALL,
    "GET /statistics": LOGGED_IN,
    "POST /ldap/ping": "A",
    "POST /system/oidc/ping": "A",
    "GET /ldap/users/search": "A",
    "POST /ldap/users/import": "A",
    "GET /ldap/groups/search": "A",
    "GET /api/longshore/v1/audit/export": "A",
    "POST /api/longshore/v1/ldap/test": "A",
    "GET /api/longshore/v1/refresh-tokens": LOGGED_IN,
    "DELETE /api/longshore/v1/refresh-tokens": LOGGED_IN,
    "DELETE /api/longshore/v1/refresh-tokens/{token_id}": LOGGED_IN,
    "GET /api/longshore/v1/users/{user_id}/refresh-tokens": "A",
    "DELETE /api/longshore/v1/users/{user_id}/refresh-tokens": "A",
    "DELETE /api/longshore/v1/users/{user_id}/refresh-tokens/{token_id}": "A",
    "GET /api/longshore/v1/sessions": LOGGED_IN,
    "DELETE /api/longshore/v1/sessions": LOGGED_IN,
    "DELETE /api/longshore/v1/sessions/{session_id}": LOGGED_IN,
    "GET /api/longshore/v1/users/{user_id}/sessions": "A",
    "DELETE /api/longshore/v1/users/{user_id}/sessions": "A",
    "DELETE /api/longshore/v1/users/{user_id}/sessions/{session_id}": "A",
    "GET /api/longshore/v1/roles": LOGGED_IN,
    "POST /api/longshore/v1/roles": "A",
    "GET /api/longshore/v1/roles/{role_id}": LOGGED_IN,
    "PUT /api/longshore/v1/roles/{role_id}": "A",
    "DELETE /api/longshore/v1/roles/{role_id}": "A",
    "GET /api/longshore/v1/tokens": LOGGED_IN,
    "POST /api/longshore/v1/tokens": LOGGED_IN,
    "GET /api/longshore/v1/tokens/{token_id}": LOGGED_IN,
    "POST /api/longshore/v1/tokens/{token_id}/rotate": LOGGED_IN,
    "DELETE /api/longshore/v1/tokens/{token_id}": LOGGED_IN,
    "GET /api/longshore/v1/users/{user_id}/tokens": "A",
    "DELETE /api/longshore/v1/users/{user_id}/tokens/{token_id}": "A",
    "GET /api/longshore/v1/teams": LOGGED_IN,
    "POST /api/longshore/v1/teams": "A",
    "GET /api/longshore/v1/teams/{team_id}": "A",
    "PUT /api/longshore/v1/teams/{team_id}": "A",
    "DELETE /api/longshore/v1/teams/{team_id}": "A",
    "GET /api/longshore/v1/teams/{team_id}/members": "A",
    "POST /api/longshore/v1/teams/{team_id}/members": "A",
    "GET /api/longshore/v1/teams/{team_id}/members/{user_id}": "A",
    "PUT /api/longshore/v1/teams/{team_id}/members/{user_id}": "A",
    "DELETE /api/longshore/v1/teams/{team_id}/members/{user_id}": "A",
    "GET /api/longshore/v1/projects/{project}/repository-rules": "AP",
    "POST /api/longshore/v1/projects/{project}/repository-rules": "AP",
    "GET /api/longshore/v1/projects/{project}/repository-rules/{rule_id}": "AP",
    "PUT /api/longshore/v1/projects/{project}/repository-rules/{rule_id}": "AP",
    "DELETE /api/longshore/v1/projects/{project}/repository-rules/{rule_id}": "AP",
    "GET /api/longshore/v1/users/current/second-factor": LOGGED_IN,
    "POST /api/longshore/v1/users/current/second-factor": LOGGED_IN,
    "POST /api/longshore/v1/users/current/second-factor/confirmation": LOGGED_IN,
    "POST /api/longshore/v1/users/current/second-factor/recovery-codes": LOGGED_IN,
    "POST /api/longshore/v1/users/current/second-factor/removal": LOGGED_IN,
    "GET /api/longshore/v1/users/{user_id}/second-factor": "A",
    "DELETE /api/longshore/v1/users/{user_id}/second-factor": "A",
    "GET /system/gc": "A",
    "GET /system/gc/schedule": "A",
    "POST /system/gc/schedule": "A",
    "PUT /system/gc/schedule": "A",
    "GET /system/gc/{gc_id}": "A",
    "PUT /system/gc/{gc_id}": "A",
    "GET /system/gc/{gc_id}/log": "A",
    "GET /system/purgeaudit": "A",
    "GET /system/purgeaudit/schedule": "A",
    "POST /system/purgeaudit/schedule": "A",
    "PUT /system/purgeaudit/schedule": "A",
    "GET /system/purgeaudit/{purge_id}": "A",
    "PUT /system/purgeaudit/{purge_id}": "A",
    "GET /system/purgeaudit/{purge_id}/log": "A",
    "GET /api/longshore/v1/users/current/identities": LOGGED_IN,
    "DELETE /api/longshore/v1/users/current/identities/{identity_id}": LOGGED_IN,
    "GET /api/longshore/v1/users/{user_id}/identities": "A",
    "POST /api/longshore/v1/users/{user_id}/identities": "A",
    "DELETE /api/longshore/v1/users/{user_id}/identities/{identity_id}": "A",
    "POST /c/login": ALL,
    "GET /c/log_out": ALL,
    "POST /c/userExists": "A",
}

#: What stands in for the parameters of paths: the project is there, nothing else is.
VALUES = {
    "project": "private",
    "user_id": "999999",
    "meta_name": "severity",
    "identity_id": "f" * 16,
}


def every_route() -> Iterator[tuple[str, APIRoute]]:
    """``METHOD path`` and the route."""
    for prefix, routers in application.ROUTERS.items():
        for route in (route for router in routers for route in router.routes):
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods or ()):
                yield f"{method} {prefix}{route.path}".replace(" /api/v2.0", " "), route


ROUTES = dict(every_route())


def test_every_route_has_a_row_and_every_row_a_route():
    assert set(ROUTES) == set(TABLE)


def test_every_route_names_a_rule():
    for name, route in ROUTES.items():
        assert rule_of(route).needs, name


@pytest.mark.parametrize("letter", WHO)
async def test_who_gets_in(management, letter):
    roles = {role.word: role for role in Role}
    for user in (*roles, "stranger"):
        await management.add_user(user)
    await management.add_project("private", roles)
    # Nobody removes the project while it holds an image.
    assert (await management.push("admin", "private/app")).status_code == 201

    wrong = {}
    for name in TABLE:
        method, path = name.split(" ", 1)
        filled = re.sub(r"\{(\w+)(?::\w+)?\}", lambda part: VALUES.get(part[1], "999999"), path)
        # Required parameters that some lists have; nonsense for the bodies of the others.
        parameters = {"username": "x", "groupname": "x", "project_name": "private", "q": "a=b"}
        json: dict[str, str] | None = {} if method in ("POST", "PUT", "PATCH") else None
        reply = await management.ask(WHO[letter], method, filled, params=parameters, json=json)
        assert reply.status_code < 500, (name, reply.text)
        if (reply.status_code not in (401, 403)) != (letter in TABLE[name]):
            wrong[name] = f"{reply.status_code} {reply.text}"
    assert wrong == {}
