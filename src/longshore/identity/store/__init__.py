"""The SQL of users, groups, projects and members: functions on a connection, values in and out."""

from longshore.identity.store.access_tokens import (
    add_access_token as add_access_token,
)
from longshore.identity.store.access_tokens import (
    find_access_token as find_access_token,
)
from longshore.identity.store.access_tokens import (
    find_access_token_by_hash as find_access_token_by_hash,
)
from longshore.identity.store.access_tokens import (
    find_cli_secret as find_cli_secret,
)
from longshore.identity.store.access_tokens import (
    list_access_tokens as list_access_tokens,
)
from longshore.identity.store.access_tokens import (
    remove_access_token as remove_access_token,
)
from longshore.identity.store.access_tokens import (
    rotate_access_token as rotate_access_token,
)
from longshore.identity.store.access_tokens import (
    set_cli_secret as set_cli_secret,
)
from longshore.identity.store.access_tokens import (
    touch_access_token as touch_access_token,
)
from longshore.identity.store.groups import (
    add_group as add_group,
)
from longshore.identity.store.groups import (
    add_to_group as add_to_group,
)
from longshore.identity.store.groups import (
    count_members_of_groups as count_members_of_groups,
)
from longshore.identity.store.groups import (
    ensure_group as ensure_group,
)
from longshore.identity.store.groups import (
    find_group as find_group,
)
from longshore.identity.store.groups import (
    find_team_member as find_team_member,
)
from longshore.identity.store.groups import (
    groups_called as groups_called,
)
from longshore.identity.store.groups import (
    groups_of as groups_of,
)
from longshore.identity.store.groups import (
    is_in_groups_by as is_in_groups_by,
)
from longshore.identity.store.groups import (
    list_groups as list_groups,
)
from longshore.identity.store.groups import (
    members_of_group as members_of_group,
)
from longshore.identity.store.groups import (
    page_of_groups as page_of_groups,
)
from longshore.identity.store.groups import (
    page_of_team as page_of_team,
)
from longshore.identity.store.groups import (
    remove_from_group as remove_from_group,
)
from longshore.identity.store.groups import (
    remove_group as remove_group,
)
from longshore.identity.store.groups import (
    rename_group as rename_group,
)
from longshore.identity.store.groups import (
    set_groups_of as set_groups_of,
)
from longshore.identity.store.groups import (
    set_maintainer as set_maintainer,
)
from longshore.identity.store.lockout import (
    add_miss as add_miss,
)
from longshore.identity.store.lockout import (
    admit_one as admit_one,
)
from longshore.identity.store.lockout import (
    find_misses as find_misses,
)
from longshore.identity.store.lockout import (
    forget_misses as forget_misses,
)
from longshore.identity.store.lockout import (
    remove_old_misses as remove_old_misses,
)
from longshore.identity.store.members import (
    add_member as add_member,
)
from longshore.identity.store.members import (
    administers_a_project as administers_a_project,
)
from longshore.identity.store.members import (
    change_member as change_member,
)
from longshore.identity.store.members import (
    count_members as count_members,
)
from longshore.identity.store.members import (
    find_member as find_member,
)
from longshore.identity.store.members import (
    list_members as list_members,
)
from longshore.identity.store.members import (
    page_of_members as page_of_members,
)
from longshore.identity.store.members import (
    remove_group_member as remove_group_member,
)
from longshore.identity.store.members import (
    remove_member as remove_member,
)
from longshore.identity.store.members import (
    roles_in as roles_in,
)
from longshore.identity.store.members import (
    set_group_member as set_group_member,
)
from longshore.identity.store.members import (
    set_member as set_member,
)
from longshore.identity.store.projects import (
    add_project as add_project,
)
from longshore.identity.store.projects import (
    count_repositories as count_repositories,
)
from longshore.identity.store.projects import (
    find_project as find_project,
)
from longshore.identity.store.projects import (
    first_repository as first_repository,
)
from longshore.identity.store.projects import (
    has_project as has_project,
)
from longshore.identity.store.projects import (
    list_projects as list_projects,
)
from longshore.identity.store.projects import (
    page_of_projects as page_of_projects,
)
from longshore.identity.store.projects import (
    project_id as project_id,
)
from longshore.identity.store.projects import (
    projects_allowing as projects_allowing,
)
from longshore.identity.store.projects import (
    projects_allowing_robot as projects_allowing_robot,
)
from longshore.identity.store.projects import (
    projects_named as projects_named,
)
from longshore.identity.store.projects import (
    remove_project as remove_project,
)
from longshore.identity.store.projects import (
    set_public as set_public,
)
from longshore.identity.store.projects import (
    update_project as update_project,
)
from longshore.identity.store.projects import (
    visible_projects as visible_projects,
)
from longshore.identity.store.refresh_tokens import (
    add_refresh_token as add_refresh_token,
)
from longshore.identity.store.refresh_tokens import (
    find_refresh_token as find_refresh_token,
)
from longshore.identity.store.refresh_tokens import (
    list_refresh_tokens as list_refresh_tokens,
)
from longshore.identity.store.refresh_tokens import (
    remove_expired_refresh_tokens as remove_expired_refresh_tokens,
)
from longshore.identity.store.refresh_tokens import (
    remove_refresh_token as remove_refresh_token,
)
from longshore.identity.store.refresh_tokens import (
    remove_refresh_tokens as remove_refresh_tokens,
)
from longshore.identity.store.refresh_tokens import (
    touch_refresh_token as touch_refresh_token,
)
from longshore.identity.store.repository_rules import (
    add_rule as add_rule,
)
from longshore.identity.store.repository_rules import (
    change_rule as change_rule,
)
from longshore.identity.store.repository_rules import (
    find_rule as find_rule,
)
from longshore.identity.store.repository_rules import (
    list_rules as list_rules,
)
from longshore.identity.store.repository_rules import (
    page_of_rules as page_of_rules,
)
from longshore.identity.store.repository_rules import (
    remove_rule as remove_rule,
)
from longshore.identity.store.robots import (
    add_robot as add_robot,
)
from longshore.identity.store.robots import (
    find_robot as find_robot,
)
from longshore.identity.store.robots import (
    list_robots as list_robots,
)
from longshore.identity.store.robots import (
    page_of_robots as page_of_robots,
)
from longshore.identity.store.robots import (
    remove_robot as remove_robot,
)
from longshore.identity.store.robots import (
    rotate_robot as rotate_robot,
)
from longshore.identity.store.robots import (
    touch_robot as touch_robot,
)
from longshore.identity.store.robots import (
    update_robot as update_robot,
)
from longshore.identity.store.roles import (
    add_role as add_role,
)
from longshore.identity.store.roles import (
    any_role as any_role,
)
from longshore.identity.store.roles import (
    change_role as change_role,
)
from longshore.identity.store.roles import (
    find_role as find_role,
)
from longshore.identity.store.roles import (
    list_roles as list_roles,
)
from longshore.identity.store.roles import (
    page_of_roles as page_of_roles,
)
from longshore.identity.store.roles import (
    remove_role as remove_role,
)
from longshore.identity.store.second_factors import (
    begin_second_factor as begin_second_factor,
)
from longshore.identity.store.second_factors import (
    confirm_second_factor as confirm_second_factor,
)
from longshore.identity.store.second_factors import (
    count_recovery_codes as count_recovery_codes,
)
from longshore.identity.store.second_factors import (
    find_second_factor as find_second_factor,
)
from longshore.identity.store.second_factors import (
    remove_second_factor as remove_second_factor,
)
from longshore.identity.store.second_factors import (
    remove_unconfirmed_second_factors as remove_unconfirmed_second_factors,
)
from longshore.identity.store.second_factors import (
    set_recovery_codes as set_recovery_codes,
)
from longshore.identity.store.second_factors import (
    spend_recovery_code as spend_recovery_code,
)
from longshore.identity.store.second_factors import (
    spend_step as spend_step,
)
from longshore.identity.store.sessions import (
    add_session as add_session,
)
from longshore.identity.store.sessions import (
    find_session as find_session,
)
from longshore.identity.store.sessions import (
    list_sessions as list_sessions,
)
from longshore.identity.store.sessions import (
    remove_ended_sessions as remove_ended_sessions,
)
from longshore.identity.store.sessions import (
    remove_session as remove_session,
)
from longshore.identity.store.sessions import (
    remove_sessions as remove_sessions,
)
from longshore.identity.store.sessions import (
    touch_session as touch_session,
)
from longshore.identity.store.signing_keys import (
    add_signing_key as add_signing_key,
)
from longshore.identity.store.signing_keys import (
    list_signing_keys as list_signing_keys,
)
from longshore.identity.store.signing_keys import (
    remove_signing_keys as remove_signing_keys,
)
from longshore.identity.store.signups import (
    add_signup as add_signup,
)
from longshore.identity.store.signups import (
    find_signup as find_signup,
)
from longshore.identity.store.signups import (
    remove_ended_signups as remove_ended_signups,
)
from longshore.identity.store.signups import (
    remove_signup as remove_signup,
)
from longshore.identity.store.standing import (
    seal as seal,
)
from longshore.identity.store.standing import (
    standing as standing,
)
from longshore.identity.store.standing import (
    standings as standings,
)
from longshore.identity.store.users import (
    add_user as add_user,
)
from longshore.identity.store.users import (
    count_users as count_users,
)
from longshore.identity.store.users import (
    end_proofs as end_proofs,
)
from longshore.identity.store.users import (
    find_identity as find_identity,
)
from longshore.identity.store.users import (
    find_password as find_password,
)
from longshore.identity.store.users import (
    find_user as find_user,
)
from longshore.identity.store.users import (
    find_user_by_mail as find_user_by_mail,
)
from longshore.identity.store.users import (
    first_administrator as first_administrator,
)
from longshore.identity.store.users import (
    has_administrator as has_administrator,
)
from longshore.identity.store.users import (
    heeds as heeds,
)
from longshore.identity.store.users import (
    identities_of as identities_of,
)
from longshore.identity.store.users import (
    link_identity as link_identity,
)
from longshore.identity.store.users import (
    list_users as list_users,
)
from longshore.identity.store.users import (
    names_of_users as names_of_users,
)
from longshore.identity.store.users import (
    page_of_users as page_of_users,
)
from longshore.identity.store.users import (
    remove_user as remove_user,
)
from longshore.identity.store.users import (
    set_admin_by as set_admin_by,
)
from longshore.identity.store.users import (
    set_disabled as set_disabled,
)
from longshore.identity.store.users import (
    set_password as set_password,
)
from longshore.identity.store.users import (
    unlink_identity as unlink_identity,
)
from longshore.identity.store.users import (
    update_user as update_user,
)
from longshore.identity.store.users import (
    user_id as user_id,
)
