"""How a failure looks to a person: one line, with the value that was wrong and what to do."""

from longshore.audit.model import Tampered
from longshore.client.errors import ClientError, first_error
from longshore.config.problems import ConfigurationInvalid
from longshore.identity.errors import IdentityError
from longshore.oci.errors import RegistryError


class CommandFailed(Exception):
    """A command could not do what was asked; the message is the whole explanation."""


def describe(error: BaseException) -> str:
    """One line for any exception a command may end with.

    Errors of a task group are shown by their first one. What nobody foresaw is named as such.
    """
    error = first_error(error)
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror}"
    if isinstance(error, RegistryError | ClientError | CommandFailed | IdentityError | Tampered):
        return " ".join(str(error).split())
    if isinstance(error, ConfigurationInvalid):
        return str(error)  # all problems, one a line
    return (
        f"unexpected {type(error).__name__}: {' '.join(str(error).split())} "
        "(this is a defect; 'longshore --debug ...' shows where)"
    )
