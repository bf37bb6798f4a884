"""The catalogue of what robots may be given."""

import pytest

from longshore.identity import store
from longshore.identity.model import GroupKind, Role

pytestmark = pytest.mark.anyio


def listed(permissions):
    return {(each["resource"], each["action"]) for each in permissions}


async def test_administrators_see_both_catalogues_and_project_admins_that_of_projects(management):
    await management.add_user("pia")
    await management.add_user("dev")
    await management.add_project("shop", {"pia": Role.PROJECT_ADMIN, "dev": Role.DEVELOPER})

    everything = (await management.ask("admin", "GET", "/permissions")).json()
    assert ("repository", "push") in listed(everything["project"])
    assert ("garbage-collection", "stop") in listed(everything["system"])
    # Neither holds what no robot may do.
    assert ("configuration", "update") not in listed(everything["system"] + everything["project"])

    hers = (await management.ask("pia", "GET", "/permissions")).json()
    assert hers == {"project": everything["project"]}

    refused = await management.ask("dev", "GET", "/permissions")
    assert refused.status_code == 403
    assert "administers neither" in refused.json()["errors"][0]["message"]


async def test_who_administers_a_project_by_a_group_sees_the_catalogue(management):
    tom = await management.add_user("tom")
    await management.add_project("shop", {})
    assert (await management.ask("tom", "GET", "/permissions")).status_code == 403
    body = {"group_name": "leads", "group_type": GroupKind.TEAM.value}
    made = await management.ask("admin", "POST", "/usergroups", json=body)
    group = int(made.headers["location"].rpartition("/")[2])
    member = {"role_id": Role.PROJECT_ADMIN.value, "member_group": {"id": group}}
    made = await management.ask("admin", "POST", "/projects/shop/members", json=member)
    assert made.status_code == 201, made.text
    await management.change(store.add_to_group, group=group, user=tom)

    assert (await management.ask("tom", "GET", "/permissions")).status_code == 200
