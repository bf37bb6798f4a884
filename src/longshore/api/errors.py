"""What the management API refuses with, in Harbor's codes (harbor ``src/lib/errors``).

What features raise becomes one of these in :func:`translated`, and nowhere else.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from longshore.catalog.errors import PartOfIndex, Unfit
from longshore.db.listing import UnusableValue
from longshore.identity.errors import Forbidden as NobodyMay
from longshore.identity.errors import IdentityError, Missing, StillNeeded, Taken
from longshore.oci.errors import ManifestUnknown, NameUnknown, RegistryError
from longshore.quotas.model import NoSuchProject, QuotaError
from longshore.system.errors import SettingFixed, SettingInvalid, SettingMistyped


class BadRequest(RegistryError):
    code, status = "BAD_REQUEST", 400


class Forbidden(RegistryError):
    code, status = "FORBIDDEN", 403


class NotFound(RegistryError):
    code, status = "NOT_FOUND", 404


class MethodNotAllowed(RegistryError):
    code, status = "METHOD_NOT_ALLOWED", 405


class Conflict(RegistryError):
    code, status = "CONFLICT", 409


class Precondition(RegistryError):
    code, status = "PRECONDITION", 412


class StillReferenced(RegistryError):
    code, status = "VIOLATE_FOREIGN_KEY_CONSTRAINT", 412


class Unprocessable(RegistryError):
    code, status = "UNPROCESSABLE_ENTITY", 422


#: The first that fits.
_TRANSLATIONS: Final[Mapping[type[Exception], type[RegistryError]]] = {
    PartOfIndex: StillReferenced,
    Unfit: BadRequest,
    ManifestUnknown: NotFound,
    NameUnknown: NotFound,
    Missing: NotFound,
    Taken: Conflict,
    StillNeeded: Precondition,
    NobodyMay: Forbidden,
    IdentityError: BadRequest,
    NoSuchProject: NotFound,
    QuotaError: BadRequest,
    UnusableValue: BadRequest,
    SettingFixed: Forbidden,
    SettingMistyped: Unprocessable,
    SettingInvalid: BadRequest,
}


@contextmanager
def translated() -> Iterator[None]:
    """What a feature raises is told to the client."""
    try:
        yield
    except tuple(_TRANSLATIONS) as error:
        raise refusal_of(error) from error


def refusal_of(error: Exception) -> RegistryError:
    """What the client is told about ``error``, one of those that have a translation."""
    for kind, refusal in _TRANSLATIONS.items():
        if isinstance(error, kind):
            return refusal(str(error))
    raise TypeError(f"{type(error).__name__} has no translation")


#: What :func:`refusal_of` knows.
TRANSLATED: Final = tuple(_TRANSLATIONS)
