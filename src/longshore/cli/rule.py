"""`longshore rule`: what is different in some repositories of a project."""

from enum import StrEnum
from functools import partial
from typing import Annotated, Final

import typer

from longshore.access.model import Action
from longshore.cli import options
from longshore.cli.metadata import Config
from longshore.cli.output import note, show, table
from longshore.cli.people import people
from longshore.db.database import Connection
from longshore.identity import store, validation
from longshore.identity.errors import Missing
from longshore.identity.rights import ruling, subject_of
from longshore.identity.rules import ACTIONS, RepositoryRule, Subject, SubjectKind
from longshore.telemetry import clock

app = typer.Typer(
    name="rule",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Give and take pulling, pushing and deleting in some repositories of a project.",
)

_Project = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")]
_COLUMNS: Final = ("ID", "EFFECT", "ACTIONS", "PATTERN", "WHOM")


class Effect(StrEnum):
    """What a rule does."""

    ALLOW = "allow"
    DENY = "deny"


class Doing(StrEnum):
    """What it is about."""

    PULL = Action.PULL.value
    PUSH = Action.PUSH.value
    DELETE = Action.DELETE.value


@app.command(name="list")
def list_command(project: _Project, config: Config = None, as_json: options.Json = False) -> None:
    """List the rules of a project."""
    with people(config) as metadata:
        found = metadata.read(lambda c: store.list_rules(c, store.project_id(c, project)))
    document = [
        {
            "id": rule.id,
            "effect": (Effect.ALLOW if rule.allows else Effect.DENY).value,
            "actions": [action.value for action in ACTIONS if action in rule.actions],
            "pattern": rule.pattern,
            "subject": {
                "type": rule.subject.kind.value,
                "id": rule.subject.id,
                "name": rule.subject.name,
            },
        }
        for rule in found
    ]
    rows = [
        (
            str(rule.id),
            "allow" if rule.allows else "deny",
            " ".join(action.value for action in ACTIONS if action in rule.actions),
            rule.pattern,
            subject_of(rule),
        )
        for rule in found
    ]
    show(document, table(_COLUMNS, rows), as_json=as_json)


@app.command()
def add(
    project: _Project,
    effect: Annotated[Effect, typer.Argument(help="Whether it gives or takes.")],
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="PATTERN",
            help="Of names without the project: * is anything in a component, ** any components.",
        ),
    ],
    actions: Annotated[list[Doing], typer.Argument(metavar="ACTION...", help="What it is about.")],
    user: Annotated[str, typer.Option(metavar="NAME", help="Concerns this member.")] = "",
    group: Annotated[int, typer.Option(metavar="ID", help="Concerns members of this group.")] = 0,
    role: Annotated[str, typer.Option(metavar="NAME", help="Concerns who has this role.")] = "",
    non_members: Annotated[
        bool, typer.Option("--non-members", help="Concerns whoever is no member.")
    ] = False,
    config: Config = None,
) -> None:
    """Make a rule about some repositories of a project."""
    if sum(map(bool, (user, group, role, non_members))) != 1:
        raise typer.BadParameter(
            "one of --user, --group, --role and --non-members says whom it concerns"
        )
    wanted = frozenset(Action(action.value) for action in actions)
    now = clock.timestamp()

    with people(config) as metadata:
        found = metadata.read(partial(_subject, user=user, group=group, role=role))
        rule = validation.repository_rule(
            RepositoryRule(0, pattern, effect is Effect.ALLOW, wanted, found)
        )

        def work(connection: Connection) -> int:
            return store.add_rule(connection, store.project_id(connection, project), rule, now)

        description = ruling(project, rule, rule.effective, in_full=True)
        added = metadata.change(
            work, "create", "repository-rule", pattern, project=project, description=description
        )
    note(f"rule {added} was made")


@app.command()
def rm(
    project: _Project,
    id: Annotated[int, typer.Argument(metavar="ID", help="The rule's id.")],
    config: Config = None,
) -> None:
    """Remove a rule."""

    def work(connection: Connection) -> None:
        store.remove_rule(connection, store.project_id(connection, project), id)

    with people(config) as metadata:
        metadata.change(work, "delete", "repository-rule", str(id), project=project)
    note(f"rule {id} was removed")


def _subject(connection: Connection, user: str, group: int, role: str) -> Subject:
    if user:
        return Subject(SubjectKind.USER, store.user_id(connection, user), user)
    if role:
        found = store.any_role(connection, name=role)
        return Subject(SubjectKind.ROLE, found.value, found.word)
    if group:
        known = store.find_group(connection, id=group)
        if known is None:
            raise Missing(f"there is no group {group}")
        return Subject(SubjectKind.GROUP, known.id, known.name)
    return Subject(SubjectKind.NON_MEMBER)
