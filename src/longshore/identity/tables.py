"""Users, groups, projects, and who is what in which project.

users ──< user_identities                  how a directory or a provider knows them
  │
  ├──< refresh_tokens                   what `docker login` keeps instead of a password
  ├──< sessions                         of browsers
  ├─── second_factors                   what codes are made of
  ├──< recovery_codes                   each instead of one code
  │
  ├──< user_group_members >── user_groups
  │                               │
  └──< project_members >──────────┘        of a project, with a role: a user or a group
            │
       custom_roles                        beside Harbor's five

access_tokens                              of users, who give them to programs
robots                                     of a project, or of the registry
repository_rules                           of a project: for a user, a group, a role or who is no member

signups                                    of people of providers who have still to choose a name

signing_keys                               of tokens
login_misses                               under hashes of whom and where
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from longshore.db.schema import (
    LOWER_CASE,
    Document,
    EncryptedText,
    Identity,
    Name,
    Timestamp,
    metadata,
)

users = Table(
    "users",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("name", Name, nullable=False),
    Column("email", Text, nullable=False),
    Column("real_name", Text, nullable=False),
    # Null: this user cannot log in with a password.
    Column("password_hash", Text),
    Column("is_admin", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False, server_default="0"),
    Column("comment", Text, nullable=False, server_default=""),
    # Grows when all that was proved as this user has to be proved again: part of the seal.
    Column("generation", Integer, nullable=False, server_default="0"),
    # Whether there is a confirmed row in second_factors: every request asks.
    Column("second_factor", Boolean, nullable=False, server_default=false()),
    # Which provider made them an administrator, as in user_identities; empty: somebody here did. Null: that was
    # not noted then, and whichever provider says something first settles it.
    Column("admin_by", Name, server_default=""),
    UniqueConstraint("name"),
    Index("ix_users_created_at", "created_at"),
)

user_identities = Table(
    "user_identities",
    metadata,
    Column("provider", Name, primary_key=True),
    # What never changes there, unlike a name or an address.
    Column("subject", Name, primary_key=True),
    Column("user_id", Identity, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Index("ix_user_identities_user_id", "user_id"),
)

user_groups = Table(
    "user_groups",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("kind", Integer, nullable=False),
    Column("name", Name, nullable=False),
    # The distinguished name of a directory's group, otherwise the name.
    Column("external_id", Name, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    UniqueConstraint("kind", "external_id"),
    Index("ix_user_groups_name", "name"),
)

user_group_members = Table(
    "user_group_members",
    metadata,
    Column("group_id", ForeignKey("user_groups.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    # Of a team: may say who else is in it.
    Column("maintainer", Boolean, nullable=False, server_default=false()),
    # Who says so, as in user_identities; empty in teams, and where that was not noted then.
    Column("provider", Name, primary_key=True, server_default=""),
    Index("ix_user_group_members_user_id", "user_id"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("name", Name, nullable=False, info=LOWER_CASE),
    Column("public", Boolean, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("owner_id", Identity, ForeignKey("users.id", ondelete="SET NULL")),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False, server_default="0"),
    UniqueConstraint("name"),
    Index("ix_projects_owner_id", "owner_id"),
)

custom_roles = Table(
    "custom_roles",
    metadata,
    # From FIRST_CUSTOM_ROLE up: Harbor's own numbers are no rows.
    Column("id", Identity, primary_key=True, autoincrement=False),
    Column("name", Name, nullable=False),
    Column("description", Text, nullable=False),
    # resource/action, sorted.
    Column("permissions", Document, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    UniqueConstraint("name"),
)

project_members = Table(
    "project_members",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("project_id", Identity, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    # One of the two.
    Column("user_id", Identity, ForeignKey("users.id", ondelete="CASCADE")),
    Column("group_id", Identity, ForeignKey("user_groups.id", ondelete="CASCADE")),
    # Harbor's number, or 0 and a custom role.
    Column("role", Integer, nullable=False),
    Column("custom_role_id", Identity, ForeignKey("custom_roles.id")),
    UniqueConstraint("project_id", "user_id"),
    UniqueConstraint("project_id", "group_id"),
    Index("ix_project_members_user_id", "user_id"),
    Index("ix_project_members_group_id", "group_id"),
    Index("ix_project_members_custom_role_id", "custom_role_id"),
)

repository_rules = Table(
    "repository_rules",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("project_id", Identity, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("pattern", Name, nullable=False),
    # The pattern as a regular expression that both databases know.
    Column("expression", Text, nullable=False),
    Column("allows", Boolean, nullable=False),
    Column("pulls", Boolean, nullable=False),
    Column("pushes", Boolean, nullable=False),
    Column("deletes", Boolean, nullable=False),
    # One of the three, or none: whoever is no member.
    Column("user_id", Identity, ForeignKey("users.id", ondelete="CASCADE")),
    Column("group_id", Identity, ForeignKey("user_groups.id", ondelete="CASCADE")),
    # As of members.
    Column("role", Integer),
    Column("custom_role_id", Identity, ForeignKey("custom_roles.id", ondelete="CASCADE")),
    Column("created_at", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Index("ix_repository_rules_project_id", "project_id"),
    Index("ix_repository_rules_user_id", "user_id"),
    Index("ix_repository_rules_group_id", "group_id"),
    Index("ix_repository_rules_custom_role_id", "custom_role_id"),
)


#: A secret and, while both count, the one before it: only hashes are here.
def _secret() -> list[Column[Any]]:
    return [
        Column("secret_hash", Name, nullable=False),
        Column("former_hash", Name),
        Column("former_until", Timestamp),
        # Null: it does not expire.
        Column("expires_at", Timestamp),
        # CIDR; none: from anywhere.
        Column("networks", Document, nullable=False),
        Column("created_at", Timestamp, nullable=False),
        Column("updated_at", Timestamp, nullable=False),
        Column("last_used_at", Timestamp),
        Column("last_used_from", Text, nullable=False, server_default=""),
    ]


access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("user_id", Identity, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", Name, nullable=False),
    Column("scopes", Document, nullable=False),
    # Names; none: wherever the user may.
    Column("projects", Document, nullable=False),
    *_secret(),
    UniqueConstraint("user_id", "name"),
    Index("ix_access_tokens_secret_hash", "secret_hash"),
    Index("ix_access_tokens_former_hash", "former_hash"),
)

robots = Table(
    "robots",
    metadata,
    Column("id", Identity, primary_key=True),
    # Without the prefix: `ci`, or `project+ci`.
    Column("name", Name, nullable=False),
    # Null: of the registry.
    Column("project_id", Identity, ForeignKey("projects.id", ondelete="CASCADE")),
    Column("description", Text, nullable=False),
    # What Harbor's API has in `permissions`.
    Column("permissions", Document, nullable=False),
    Column("duration", Integer, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("creator_kind", Text, nullable=False),
    Column("creator_id", Identity, nullable=False),
    *_secret(),
    UniqueConstraint("name"),
    Index("ix_robots_project_id", "project_id"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("id", Identity, primary_key=True),
    # RFC 7638 thumbprint.
    Column("kid", Name, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("private_key", EncryptedText, nullable=False),
    Column("public_key", Document, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    # Later than it was made: until then every node can learn of it.
    Column("signs_from", Timestamp, nullable=False),
    UniqueConstraint("kid"),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("user_id", Identity, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("token_hash", Name, nullable=False),
    # That of the password which it was given for.
    Column("seal", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("last_used_at", Timestamp, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    UniqueConstraint("token_hash"),
    Index("ix_refresh_tokens_user_id", "user_id"),
    Index("ix_refresh_tokens_expires_at", "expires_at"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("user_id", Identity, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("token_hash", Name, nullable=False),
    # That of the standing which it was opened for.
    Column("seal", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    Column("last_seen_at", Timestamp, nullable=False),
    # However much it is used.
    Column("expires_at", Timestamp, nullable=False),
    # Where the login was; empty: here, with a password.
    Column("provider", Name, nullable=False, server_default=""),
    UniqueConstraint("token_hash"),
    Index("ix_sessions_user_id", "user_id"),
    Index("ix_sessions_expires_at", "expires_at"),
)

second_factors = Table(
    "second_factors",
    metadata,
    Column(
        "user_id",
        Identity,
        ForeignKey("users.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("secret", EncryptedText, nullable=False),
    # RFC 6238 section 5.2: no code of this step or an earlier one is taken.
    Column("last_step", BigInteger, nullable=False),
    Column("created_at", Timestamp, nullable=False),
    # Null: it does not count yet.
    Column("confirmed_at", Timestamp),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column(
        "user_id",
        Identity,
        ForeignKey("second_factors.user_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("code_hash", Name, primary_key=True),
)

signups = Table(
    "signups",
    metadata,
    Column("token_hash", Name, primary_key=True),
    # As in user_identities.
    Column("provider", Name, nullable=False),
    Column("subject", Name, nullable=False),
    # What is needed to go on.
    Column("content", Document, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
    UniqueConstraint("provider", "subject"),
    Index("ix_signups_expires_at", "expires_at"),
)

login_misses = Table(
    "login_misses",
    metadata,
    Column("key", Name, primary_key=True),
    # None: somebody logged in.
    Column("misses", Integer, nullable=False),
    Column("until", Timestamp, nullable=False),
    Column("updated_at", Timestamp, nullable=False),
    Index("ix_login_misses_updated_at", "updated_at"),
)
