"""harborapi, a client that was written for Harbor, unmodified: people and projects."""

import anyio
import pytest
from harborapi import HarborAsyncClient
from harborapi.exceptions import BadRequest, Conflict, Forbidden, Unauthorized
from harborapi.models import (
    Access,
    Configurations,
    Label,
    ProjectMember,
    ProjectMetadata,
    ProjectReq,
    Repository,
    RobotCreate,
    RobotPermission,
    RoleRequest,
    Schedule,
    ScheduleObj,
    Tag,
    Type,
    UserCreationReq,
    UserEntity,
    UserGroup,
    UserProfile,
)

from longshore.testing.builders import image
from tests.services.management import PASSWORD

pytestmark = [
    pytest.mark.anyio,
    # The client itself reads its fields in a way that pydantic has given up.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute"),
]


@pytest.fixture
async def harbor(served):
    made = []

    def client(user: str = "admin", password: str = PASSWORD) -> HarborAsyncClient:
        made.append(
            HarborAsyncClient(
                url=f"{served.url}/api/v2.0", username=user, secret=password, validate=True
            )
        )
        return made[-1]

    yield client
    for one in made:
        await one.client.aclose()


async def test_users(harbor):
    admin = harbor()
    made = UserCreationReq(
        username="dora", email="dora@example.org", realname="Dora", password=PASSWORD
    )
    await admin.create_user(made)
    with pytest.raises(Conflict):
        await admin.create_user(made)

    (found,) = await admin.search_users_by_username("dora")
    user = await admin.get_user(found.user_id)
    assert (user.username, user.sysadmin_flag) == ("dora", False)
    assert (await harbor("dora").get_current_user()).user_id == found.user_id
    await harbor("dora").update_user(
        found.user_id, UserProfile(email="d@example.org", realname="D", comment="x")
    )
    await admin.set_user_admin(found.user_id, is_admin=True)
    assert [one.username for one in await harbor("dora").get_users(sort="username")] == [
        "admin",
        "dora",
    ]
    permissions = await harbor("dora").get_current_user_permissions(None)
    assert len(permissions) > 20
    await admin.delete_user(found.user_id)
    with pytest.raises(Unauthorized):
        await harbor("dora").get_current_user()


async def test_projects_and_members(harbor):
    admin = harbor()
    await admin.create_user(
        UserCreationReq(username="dora", email="d@example.org", realname="D", password=PASSWORD)
    )
    location = await admin.create_project(
        ProjectReq(project_name="team", metadata=ProjectMetadata(public="false"))
    )
    assert location.startswith("/api/v2.0/projects/")
    assert await admin.project_exists("team")
    assert not await admin.project_exists("nothing")
    project = await admin.get_project("team")
    assert (project.name, project.metadata.public, project.repo_count) == ("team", "false", 0)
    with pytest.raises(Forbidden):
        await harbor("dora").get_project("team")

    await admin.add_project_member_user("team", "dora", 3)
    member = ProjectMember(role_id=3, member_user=UserEntity(username="dora"))
    with pytest.raises(Conflict):
        await admin.add_project_member("team", member)
    (_, dora) = await admin.get_project_members("team")
    assert (dora.entity_name, dora.role_name) == ("dora", "guest")
    await admin.update_project_member_role("team", dora.id, RoleRequest(role_id=2))
    assert (await admin.get_project_member("team", dora.id)).role_name == "developer"
    assert (await harbor("dora").get_project("team")).current_user_role_id == 2
    await admin.remove_project_member("team", dora.id)

    await admin.update_project(
        "team", ProjectReq(metadata=ProjectMetadata(auto_scan="true", public="true"))
    )
    metadata = await admin.get_project_metadata("team")
    assert (metadata.auto_scan, metadata.public) == ("true", "true")
    await admin.set_project_metadata("team", ProjectMetadata(severity="high"))
    await admin.update_project_metadata_entry("team", "severity", {"severity": "low"})
    assert await admin.get_project_metadata_entry("team", "severity") == {"severity": "low"}
    await admin.delete_project_metadata_entry("team", "severity")
    assert (await admin.get_project_summary("team")).repo_count == 0
    assert (await admin.get_project_deletable("team")).deletable
    await admin.delete_project("team")
    names = [one.name async for one in _projects(admin)]
    assert names == ["library"]


async def _projects(client):
    for project in await client.get_projects(sort="name", page_size=1):
        yield project


async def test_pages_are_followed(harbor):
    admin = harbor()
    for number in range(7):
        await admin.create_project(ProjectReq(project_name=f"p{number}", public=True))

    found = await admin.get_projects(query="name=~p", sort="-name", page_size=3)

    assert [project.name for project in found] == [f"p{number}" for number in reversed(range(7))]
    assert len(await admin.get_projects(page_size=2, limit=3)) == 3


async def test_groups(harbor):
    admin = harbor()
    location = await admin.create_usergroup(UserGroup(group_name="devs", group_type=3))
    group = int(location.rpartition("/")[2])
    assert (await admin.get_usergroup(group)).group_name == "devs"
    await admin.update_usergroup(group, UserGroup(group_name="developers"))
    assert [one.group_name for one in await admin.get_usergroups()] == ["developers"]
    assert [one.id for one in await admin.search_usergroups("dev")] == [group]
    await admin.delete_usergroup(group)
    assert await admin.get_usergroups() == []


async def test_teams_are_groups_and_members_of_projects(harbor, served):
    admin = harbor()
    location = await admin.create_usergroup(UserGroup(group_name="builders", group_type=2))
    team = int(location.rpartition("/")[2])
    made = UserCreationReq(
        username="dora", email="dora@example.org", realname="Dora", password=PASSWORD
    )
    await admin.create_user(made)
    await admin.create_project(ProjectReq(project_name="shop"))
    await admin.add_project_member_group("shop", team, 2)

    (member,) = [one for one in await admin.get_project_members("shop") if one.entity_type == "g"]
    assert (member.entity_name, member.role_name) == ("builders", "developer")
    with pytest.raises(Forbidden):
        await harbor("dora").get_project("shop")
    with served.client() as client:
        url = f"/api/longshore/v1/teams/{team}/members"
        client.post(url, json={"username": "dora"}, auth=("admin", PASSWORD)).raise_for_status()
    assert (await harbor("dora").get_project("shop")).name == "shop"


async def test_configuration(harbor):
    admin = harbor()
    before = await admin.get_config()
    assert (before.auth_mode.value, before.session_timeout.value) == ("db_auth", 60)

    await admin.update_config(
        Configurations(
            session_timeout=30,
            storage_per_project=10**9,
            auth_mode="ldap_auth",
            ldap_url="ldaps://directory.test",
            ldap_base_dn="dc=test",
            ldap_search_dn="cn=search,dc=test",
            ldap_search_password="not to be shown",
        )
    )

    after = await admin.get_config()
    assert (after.auth_mode.value, after.session_timeout.value) == ("ldap_auth", 30)
    assert after.ldap_url.value == "ldaps://directory.test"
    assert "not to be shown" not in repr(after)
    with pytest.raises(BadRequest, match="ldap_base_dn"):
        await admin.update_config(Configurations(ldap_base_dn=""))


async def test_repositories_artifacts_tags_and_labels(harbor, served):
    admin = harbor()
    what = image([b"layer"])
    with served.client(login=False) as client:
        client.auth = ("admin", PASSWORD)
        for blob in what.blobs:
            path = f"/v2/library/tools/app/blobs/uploads/?digest={blob.digest}"
            assert client.post(path, content=blob.data).status_code == 201
        headers = {"Content-Type": what.manifest.descriptor.media_type}
        path = "/v2/library/tools/app/manifests/v1"
        reply = client.put(path, content=what.manifest.data, headers=headers)
        assert reply.status_code == 201

    (repository,) = await admin.get_repositories("library")
    assert (repository.name, repository.artifact_count) == ("library/tools/app", 1)
    await admin.update_repository("library", "tools/app", Repository(description="tools"))
    assert (await admin.get_repository("library", "tools/app")).description == "tools"
    (found,) = await admin.get_artifacts("library", "tools/app", with_label=True)
    assert (found.digest, found.type) == (str(what.digest), "IMAGE")
    assert (await admin.get_artifact("library", "tools/app", "v1")).id == found.id
    await admin.create_artifact_tag("library", "tools/app", "v1", Tag(name="v2"))
    tags = await admin.get_artifact_tags("library", "tools/app", "v1")
    assert {tag.name for tag in tags} == {"v1", "v2"}
    await admin.delete_artifact_tag("library", "tools/app", "v1", "v2")
    location = await admin.create_label(Label(name="good", scope="g"))
    label = await admin.get_label(int(location.rpartition("/")[2]))
    await admin.add_artifact_label("library", "tools/app", "v1", label)
    assert [one.name for one in await admin.get_labels(scope="g")] == ["good"]
    await admin.delete_artifact_label("library", "tools/app", "v1", label.id)
    await admin.delete_label(label.id)
    assert await admin.get_artifact_accessories("library", "tools/app", "v1") == []
    await admin.copy_artifact("library", "copy", "library/tools/app:v1")
    assert (await admin.get_statistics()).total_repo_count == 2
    assert len((await admin.search("app")).repository) == 1
    await admin.delete_artifact("library", "copy", "v1")
    await admin.delete_repository("library", "tools/app")
    assert await admin.get_repositories("library") == []


async def test_robots(harbor):
    admin = harbor()
    access = [Access(resource="repository", action=action) for action in ("pull", "list")]
    permission = RobotPermission(kind="project", namespace="library", access=access)
    made = await admin.create_robot(
        RobotCreate(name="ci", level="project", duration=1, permissions=[permission])
    )
    project = await admin.get_project("library")
    (found,) = await admin.get_robots(query=f"Level=project,ProjectID={project.project_id}")
    assert (found.id, found.name) == (made.id, "robot+library+ci")
    assert await harbor(made.name, made.secret).get_repositories("library") == []
    renewed = await admin.refresh_robot_secret(made.id, "")
    assert (await harbor(made.name, renewed.secret).get_statistics()).total_project_count == 1
    with pytest.raises(Unauthorized):
        await harbor(made.name, made.secret).get_statistics()
    robot = await admin.get_robot(made.id)
    robot.description = "builds"
    await admin.update_robot(made.id, robot)
    assert (await admin.get_robot(made.id)).description == "builds"
    with pytest.raises(Forbidden):
        await harbor(made.name, renewed.secret).get_robot(made.id)
    await admin.delete_robot(made.id)
    assert await admin.get_robots() == []


async def test_what_administrators_look_after(harbor):
    admin = harbor()
    (disk,) = (await admin.get_system_volume_info()).storage
    assert 0 < disk.free < disk.total
    await admin.create_gc_schedule(Schedule(schedule=ScheduleObj(type=Type("Daily"))))
    assert (await admin.get_gc_schedule()).schedule.cron == "0 0 0 * * *"
    await admin.update_gc_schedule(Schedule(schedule=ScheduleObj(type=Type("None"))))
    now = Schedule(schedule=ScheduleObj(type=Type("Manual")), parameters={"dry_run": True})
    location = await admin.create_gc_schedule(now)
    number = int(location.rpartition("/")[2])
    assert (await admin.get_gc_job(number)).job_name == "GARBAGE_COLLECTION"
    assert [one.id for one in await admin.get_gc_jobs()] == [number]
    assert isinstance(await admin.get_gc_log(number), list)
    purge = {"audit_retention_hour": 1, "include_event_types": "", "dry_run": True}
    await admin.create_purge_job_schedule(
        Schedule(schedule=ScheduleObj(type=Type("Manual")), parameters=purge)
    )
    (run,) = await admin.get_purge_job_history()
    assert (await admin.get_purge_job(run.id)).job_name == "PURGE_AUDIT_LOG"


async def test_purges_of_the_audit_log(harbor):
    admin = harbor()
    assert (await admin.get_purge_job_schedule()).job_name is None
    parameters = {
        "audit_retention_hour": 168,
        "dry_run": True,
        "include_operations": "create,delete,pull",
    }
    nightly = ScheduleObj.model_validate({"type": "Custom", "cron": "0 0 3 * * *"})
    await admin.create_purge_job_schedule(Schedule(parameters=parameters, schedule=nightly))
    found = await admin.get_purge_job_schedule()
    assert found.job_name == "PURGE_AUDIT_LOG"
    assert found.schedule.cron == "0 0 3 * * *"
    ended = ScheduleObj.model_validate({"type": "None"})
    await admin.update_purge_job_schedule(Schedule(parameters=parameters, schedule=ended))
    assert (await admin.get_purge_job_schedule()).job_name is None

    now = ScheduleObj.model_validate({"type": "Manual"})
    where = await admin.create_purge_job_schedule(Schedule(parameters=parameters, schedule=now))
    id = int(where.rpartition("/")[2])
    with anyio.fail_after(20):
        while True:
            if (await admin.get_purge_job(id)).job_status == "Success":
                break
            await anyio.sleep(0.05)
    (only,) = await admin.get_purge_job_history()
    assert only.id == id
    assert "0 rows would be removed" in await admin.get_purge_job_log(id)
