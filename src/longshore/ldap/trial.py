"""Try a directory: every query with its time and result, for commands and the API."""

from dataclasses import dataclass
from time import perf_counter

from longshore.ldap.directory import Directory
from longshore.ldap.model import (
    DirectoryRefused,
    DirectoryUnavailable,
    LDAPServer,
    Person,
    Query,
    Refusal,
    Trace,
)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it: ``person`` when one was found (and, if that was tried, the password is right);
    ``problem`` says what was wrong, empty when nothing was."""

    server: str
    milliseconds: float
    queries: tuple[Query, ...]
    person: Person | None = None
    problem: str = ""


async def try_server(
    server: LDAPServer, user: str | None = None, password: str | None = None
) -> Trial:
    """Ask ``server``, over connections of its own: whether it works; who ``user`` is; and, with a
    ``password``, whether it is theirs. What is wrong, also with the configuration, is the answer."""
    trace, began = Trace(), perf_counter()
    found: Person | Refusal | None = None
    problem = ""
    try:
        directory = Directory(server)
        if user is None:
            await directory.ping(trace)
        elif password is None:
            found = await directory.look_up(user, trace)
        else:
            found = await directory.log_in(user, password, trace)
    except (DirectoryUnavailable, DirectoryRefused, ValueError) as error:
        problem = str(error)
    if isinstance(found, Refusal):
        problem = found.sentence
    return Trial(
        server.name,
        round((perf_counter() - began) * 1000, 2),
        tuple(trace.queries),
        found if isinstance(found, Person) else None,
        problem,
    )
