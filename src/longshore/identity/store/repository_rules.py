"""Rules about repositories: kept, found for somebody, and as a condition on lists of repositories."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    not_,
    or_,
    select,
    true,
    tuple_,
    update,
)

from longshore.access.model import Action
from longshore.db.listing import Listing, read_page
from longshore.identity.errors import Missing, StillNeeded
from longshore.identity.model import ANYWHERE, AnyRole, Places, Role, View
from longshore.identity.rules import MOST_RULES, RepositoryRule, Subject, SubjectKind
from longshore.identity.store.roles import any_role, role_values
from longshore.identity.tables import (
    custom_roles,
    project_members,
    projects,
    repository_rules,
    user_group_members,
    user_groups,
    users,
)
from longshore.oci.patterns import expression
from longshore.registry.tables import repositories

_RULE: Select[Any] = select(
    *repository_rules.c,
    users.c.name.label("user_name"),
    user_groups.c.name.label("group_name"),
    custom_roles.c.name.label("role_name"),
).select_from(
    repository_rules.outerjoin(users, users.c.id == repository_rules.c.user_id)
    .outerjoin(user_groups, user_groups.c.id == repository_rules.c.group_id)
    .outerjoin(custom_roles, custom_roles.c.id == repository_rules.c.custom_role_id)
)
_COLUMNS: Final[Mapping[Action, str]] = {
    Action.PULL: "pulls",
    Action.PUSH: "pushes",
    Action.DELETE: "deletes",
}
_HIDING: Final = and_(~repository_rules.c.allows, repository_rules.c.pulls)
_NAMES_NOBODY: Final = and_(
    repository_rules.c.user_id.is_(None),
    repository_rules.c.group_id.is_(None),
    repository_rules.c.role.is_(None),
)

#: Those of some projects that name a user, one of their groups, a role, or nobody. Made once: every request that
#: reads a standing asks it, where there are rules.
_CONCERNING: Final = _RULE.where(
    repository_rules.c.project_id.in_(bindparam("projects", expanding=True)),
    or_(repository_rules.c.user_id.is_(None), repository_rules.c.user_id == bindparam("user")),
    or_(
        repository_rules.c.group_id.is_(None),
        repository_rules.c.group_id.in_(
            select(user_group_members.c.group_id).where(
                user_group_members.c.user_id == bindparam("user")
            )
        ),
    ),
).order_by(repository_rules.c.id)


def add_rule(connection: Connection, project: int, rule: RepositoryRule, now: float) -> int:
    """The new rule's id, whatever ``rule.id`` is. Raises Missing when whom it is about is not there,
    StillNeeded when the project has too many."""
    mine = repository_rules.c.project_id == project
    if (connection.scalar(select(func.count()).where(mine)) or 0) >= MOST_RULES:
        raise StillNeeded(
            f"the project has {MOST_RULES} repository rules, and no more fit: remove one, or let one "
            "pattern say what several do"
        )
    row = {
        "project_id": project,
        **_values(connection, rule),
        "created_at": now,
        "updated_at": now,
    }
    added = insert(repository_rules).values(row).returning(repository_rules.c.id)
    return int(connection.execute(added).scalar_one())


def find_rule(connection: Connection, project: int, id: int) -> RepositoryRule | None:
    """One of the project's."""
    mine = (repository_rules.c.project_id == project) & (repository_rules.c.id == id)
    row = connection.execute(_RULE.where(mine)).one_or_none()
    return None if row is None else _rule(row)


def list_rules(connection: Connection, project: int) -> list[RepositoryRule]:
    """Those of a project, by id."""
    query = _RULE.where(repository_rules.c.project_id == project)
    return [_rule(row) for row in connection.execute(query.order_by(repository_rules.c.id))]


def page_of_rules(
    connection: Connection, project: int, listing: Listing
) -> tuple[list[RepositoryRule], int]:
    """A page, by id unless the listing says otherwise, and how many there are. Raises UnusableValue."""
    query = _RULE.where(repository_rules.c.project_id == project)
    columns = {"pattern": repository_rules.c.pattern, "id": repository_rules.c.id}
    rows, total = read_page(connection, query, columns, listing, [repository_rules.c.id])
    return [_rule(row) for row in rows], total


def change_rule(connection: Connection, project: int, rule: RepositoryRule, now: float) -> None:
    """The rule with that id becomes ``rule``. Raises Missing."""
    mine = (repository_rules.c.project_id == project) & (repository_rules.c.id == rule.id)
    values = {**_values(connection, rule), "updated_at": now}
    statement = update(repository_rules).where(mine).values(**values)
    if connection.execute(statement.returning(repository_rules.c.id)).first() is None:
        raise _unknown(rule.id)


def remove_rule(connection: Connection, project: int, id: int) -> None:
    """Raises Missing."""
    mine = (repository_rules.c.project_id == project) & (repository_rules.c.id == id)
    gone = delete(repository_rules).where(mine).returning(repository_rules.c.id)
    if connection.execute(gone).first() is None:
        raise _unknown(id)


def rules_for(
    connection: Connection,
    user: int,
    roles: Mapping[int, Collection[AnyRole]],
    public: Collection[int],
) -> dict[int, tuple[RepositoryRule, ...]]:
    """Project -> those of its rules that concern a user (0: who did not log in), by id. ``roles`` are the user's in
    each of the projects, of which ``public`` are."""
    found: dict[int, tuple[RepositoryRule, ...]] = {}
    for row in connection.execute(_CONCERNING, {"user": user, "projects": list(roles)}):
        rule = _rule(row)
        project = row.project_id
        if _concerns(rule.subject, roles[project], public=project in public):
            found[project] = (*found.get(project, ()), rule)
    return found


def narrowed(
    connection: Connection, view: View, opened: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Whether somebody with ``view`` may pull the repository of a row, where ``opened`` says that without regard to
    rules: the same as :meth:`longshore.identity.model.Standing.permissions_in` for each."""
    if view.pulls == ANYWHERE or not connection.scalar(
        select(exists().where(repository_rules.c.id.is_not(None)))
    ):
        return opened
    given = _fitting().where(repository_rules.c.allows, _about(view))
    taken = _fitting().where(_HIDING, _about(view))
    # Sets that are made once, whatever number of rows is looked at: hardly any project has rules.
    return and_(or_(opened, repositories.c.id.in_(given)), repositories.c.id.not_in(taken))


def among(places: Places) -> ColumnElement[bool]:
    """Whether the project of a row is one of ``places``."""
    if places.everywhere:
        return projects.c.name.not_in(places.but) if places.but else true()
    return projects.c.name.in_(places.named) if places.named else false()


def named_nowhere_hidden(
    connection: Connection, view: View, project: ColumnElement[str], text: ColumnElement[str]
) -> ColumnElement[bool]:
    """Whether ``text`` names no repository of ``project`` (alone, or followed by a tag or a digest) that a rule
    hides from somebody with ``view``: for what tells of repositories, or of ones that were."""
    if view.pulls == ANYWHERE or not connection.scalar(select(exists().where(_HIDING))):
        return true()
    inner = func.substr(text, func.length(project) + 2)
    whole_or_part = func.replace(repository_rules.c.expression, r"\Z", r"(?:[:@].*)?\Z")
    hiding = (
        select(repository_rules.c.id)
        .join(projects, projects.c.id == repository_rules.c.project_id)
        .where(projects.c.name == project, _HIDING, _about(view), inner.regexp_match(whole_or_part))
    )
    return ~hiding.exists()


def hidden_from_nobody() -> ColumnElement[bool]:
    """Whether no rule takes pulling of the repository of a row from anybody: it may be named to whoever is in its
    project."""
    return repositories.c.id.not_in(_fitting().where(_HIDING))


def _fitting() -> Select[Any]:
    """The ids of repositories that a rule fits, with the rule's row and its project's."""
    fitted = repositories.alias()
    # As longshore.identity.rules.inner_name.
    after = func.substr(fitted.c.name, func.length(fitted.c.namespace) + 2)
    inner = case((fitted.c.name.contains("/"), after), else_=fitted.c.name)
    return (
        select(fitted.c.id)
        .select_from(repository_rules)
        .join(projects, projects.c.id == repository_rules.c.project_id)
        .join(fitted, fitted.c.namespace == projects.c.name)
        .where(inner.regexp_match(repository_rules.c.expression))
    )


def _about(view: View) -> ColumnElement[bool]:
    """Whether the rule of a row concerns somebody with ``view``. Whose right to pull in a project is written down
    is concerned by none of its rules; beyond ``view.only`` one is nobody."""
    bound = not_(among(view.pulls))
    others = and_(_NAMES_NOBODY, projects.c.public)
    user = view.user
    if user is None:
        return and_(bound, others)
    groups = select(user_group_members.c.group_id).where(user_group_members.c.user_id == user)
    inside: Sequence[ColumnElement[bool]] = ()
    if view.only is not None:
        only = projects.alias()
        named = select(only.c.id).where(only.c.name.in_(view.only))
        inside = [project_members.c.project_id.in_(named)]

    def memberships(*columns: ColumnElement[Any]) -> CompoundSelect[Any]:
        """Their own and those of their groups: one after the other, each by an index."""
        own = select(*columns).where(project_members.c.user_id == user, *inside)
        others = select(*columns).where(project_members.c.group_id.in_(groups), *inside)
        return own.union_all(others)

    rules, of = repository_rules.c, project_members.c
    member = rules.project_id.in_(memberships(of.project_id))
    named_role = tuple_(rules.project_id, rules.role, func.coalesce(rules.custom_role_id, 0))
    having = memberships(of.project_id, of.role, func.coalesce(of.custom_role_id, 0))
    return and_(
        bound,
        or_(
            and_(others, ~member),
            and_(rules.user_id == user, member),
            and_(rules.group_id.in_(groups), member),
            and_(rules.role.is_not(None), named_role.in_(having)),
        ),
    )


def _concerns(subject: Subject, roles: Collection[AnyRole], *, public: bool) -> bool:
    """``subject`` is the user, one of their groups, or says who of all."""
    match subject.kind:
        case SubjectKind.NON_MEMBER:
            return public and not roles
        case SubjectKind.ROLE:
            return subject.id in {role.value for role in roles}
        case _:
            return bool(roles)


def _values(connection: Connection, rule: RepositoryRule) -> dict[str, Any]:
    subject = rule.subject
    values: dict[str, Any] = {
        "pattern": rule.pattern,
        "expression": rf"\A(?:{expression(rule.pattern)})\Z",
        "allows": rule.allows,
        **{column: action in rule.actions for action, column in _COLUMNS.items()},
        "user_id": subject.id if subject.kind is SubjectKind.USER else None,
        "group_id": subject.id if subject.kind is SubjectKind.GROUP else None,
        "role": None,
        "custom_role_id": None,
    }
    if subject.kind is SubjectKind.ROLE:
        values.update(role_values(connection, any_role(connection, id=subject.id)))
    return values


def _rule(row: Any) -> RepositoryRule:
    if row.user_id is not None:
        subject = Subject(SubjectKind.USER, row.user_id, row.user_name)
    elif row.group_id is not None:
        subject = Subject(SubjectKind.GROUP, row.group_id, row.group_name)
    elif row.custom_role_id is not None:
        subject = Subject(SubjectKind.ROLE, row.custom_role_id, row.role_name)
    elif row.role is not None:
        subject = Subject(SubjectKind.ROLE, row.role, Role(row.role).word)
    else:
        subject = Subject(SubjectKind.NON_MEMBER)
    actions = [action for action, column in _COLUMNS.items() if getattr(row, column)]
    return RepositoryRule(row.id, row.pattern, row.allows, frozenset(actions), subject)


def _unknown(id: int) -> Missing:
    return Missing(f"the project has no repository rule {id}")
