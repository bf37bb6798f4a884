"""Fields in bodies that a client is not to choose (mass assignment): every route that takes a body."""

from collections.abc import Mapping
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel

from tests.api.test_who_may import ROUTES, TABLE
from tests.security.neighbours import REQUESTS, Neighbours, ask, rows, with_ids

pytestmark = pytest.mark.anyio

NUMBER: Final = 777_777_777
WORD: Final = "smuggled"
MOMENT: Final = "2001-01-01T00:00:00.000Z"
#: The same moment, as rows have it.
POSIX: Final = 978_307_200.0
SMUGGLED: Final[Mapping[str, Any]] = {
    **dict.fromkeys(
        ("id", "user_id", "project_id", "owner_id", "group_id", "repository_id", "registry_id"),
        NUMBER,
    ),
    **dict.fromkeys(("creator_id", "entity_id", "role", "level", "storage_limit", "quota"), NUMBER),
    **dict.fromkeys(("name", "username", "project_name", "owner_name", "creator", "digest"), WORD),
    **dict.fromkeys(("password_hash", "salt", "seal", "secret", "group_name", "source"), WORD),
    **dict.fromkeys(
        ("creation_time", "update_time", "created_at", "updated_at", "expires_at", "push_time"),
        MOMENT,
    ),
    **dict.fromkeys(
        ("sysadmin_flag", "is_admin", "admin_role_in_auth", "disabled", "public"), True
    ),
    "scope": "g",
    "group_type": 4,
    "deleted": True,
    "__class__": WORD,
    "__proto__": {"is_admin": True},
}
#: Fields of SMUGGLED that a route is there to set, or looks something up by.
OWN: Final[Mapping[str, frozenset[str]]] = {
    "PATCH /robots/{robot_id}": frozenset({"secret"}),
    "PUT /api/longshore/v1/roles/{role_id}": frozenset({"name"}),
    "POST /api/longshore/v1/teams/{team_id}/members": frozenset({"user_id"}),
    "POST /projects": frozenset({"public", "registry_id"}),
    "PUT /projects/{project}": frozenset({"public"}),
}
#: Routes whose bodies are about something outside, which is not there in these tests.
ELSEWHERE: Final = {
    "PUT /users/{user_id}/cli_secret",
    "POST /api/longshore/v1/users/{user_id}/identities",
    "POST /ldap/ping",
    "POST /ldap/users/import",
    "POST /api/longshore/v1/ldap/test",
    "POST /api/longshore/v1/users/current/second-factor/confirmation",
    "POST /api/longshore/v1/users/current/second-factor/recovery-codes",
    "POST /api/longshore/v1/users/current/second-factor/removal",
    "POST /system/oidc/ping",
}
#: Every name in these bodies is the name of something that is set, and others are refused.
NAMED: Final = {
    "POST /projects/{project}/metadatas",
    "PUT /projects/{project}/metadatas/{meta_name}",
}
TAKING_BODIES: Final = [
    name for name, route in ROUTES.items() if route.body_field is not None and name not in ELSEWHERE
]


def _smuggling(value: Any, shape: Any, own: frozenset[str]) -> Any:
    """``value`` with more in it, and in what it holds. Within, fields that the shape has may be names to look
    something up by; without, they are things that somebody must not set."""
    if not isinstance(value, dict):
        return value
    known = shape.model_fields if _is_model(shape) else {}
    return {
        **{name: one for name, one in SMUGGLED.items() if name not in own},
        **{
            name: _smuggling(one, _inner(known.get(name)), frozenset(_names(known.get(name))))
            for name, one in value.items()
        },
    }


def _is_model(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, BaseModel)


def _inner(field: Any) -> Any:
    shapes = () if field is None else (field.annotation, *get_args(field.annotation))
    return next((shape for shape in shapes if _is_model(shape)), None)


def _names(field: Any) -> list[str]:
    shape = _inner(field)
    return list(shape.model_fields) if shape is not None else list(SMUGGLED)


def _owners(found: Mapping[str, Any]) -> list[set[Any]]:
    """What only the routes made for it may change: by row, its id first."""
    columns = {
        "users": ("id", "name", "is_admin", "disabled", "created_at"),
        "projects": ("id", "name", "owner_id", "public", "created_at"),
        "labels": ("id", "project_id"),
        "user_groups": ("id", "kind"),
        "project_members": ("id", "project_id", "user_id", "group_id"),
    }
    return [
        {tuple(row[column] for column in wanted) for row in found[table]}
        for table, wanted in columns.items()
    ]


async def test_only_the_fields_of_a_route_take_effect(neighbours: Neighbours) -> None:
    management, ids = neighbours.management, neighbours.emil.ids
    # With a new password emil would be somebody else in what follows.
    for name in sorted(TAKING_BODIES, key=lambda one: "password" in one):
        assert name in REQUESTS, f"tests.security.neighbours needs a good request to {name}"
        by = "emil" if "P" in TABLE[name] else "admin"
        before = await management.database.read(rows)
        field = ROUTES[name].body_field
        shape = field.field_info.annotation if field is not None else None
        json = _smuggling(with_ids(REQUESTS[name].json, ids), shape, OWN.get(name, frozenset()))

        reply = await ask(management, by, name, ids, json=json)

        if name in NAMED:
            assert reply.status_code in (400, 422), (name, reply.text)
        else:
            assert reply.is_success, (name, reply.text)
        after = await management.database.read(rows)
        values = [value for table in after.values() for row in table for value in row.values()]
        found = [one for one in values if one in (NUMBER, POSIX) or WORD in str(one)]
        assert not found, name
        assert not [row for row in after["users"] if row["is_admin"] and row["name"] != "admin"]
        assert not [row for row in after["users"] if row["disabled"]], name
        assert all(
            one <= other for one, other in zip(_owners(before), _owners(after), strict=True)
        ), name
