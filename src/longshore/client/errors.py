"""What can go wrong between a client and a registry.

    ClientError
    ├── Unreachable             no connection, or it broke; every attempt is used up
    │   ├── TimedOut            nobody answered in time
    │   └── CertificateRejected the other side is not who it should be
    ├── Refused                 the registry answered with an error; has code, status, detail
    │   ├── Unauthenticated  401
    │   ├── Forbidden        403
    │   ├── NotFound         404
    │   ├── NotSupported     405, 501
    │   └── Overloaded       429
    ├── ProtocolViolation       an answer that the specification does not allow
    ├── RealmRefused            credentials would have gone to a stranger
    ├── ContentInvalid          bytes that are not what their digest or size says; a bad archive
    ├── NoSuchImage             a local source without the image that was asked for
    ├── LocationInvalid         a text that names no source or target
    └── CredentialsUnavailable  a credential helper or a login file that cannot be used

Standard library only: commands import this to explain failures without loading the client.
"""

from typing import Any


class ClientError(Exception):
    """The base of this tree. `temporary` says that asking again may help."""

    def __init__(
        self, message: str, *, temporary: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.temporary = temporary
        #: Seconds the registry asked to wait before the next attempt.
        self.retry_after = retry_after


class Unreachable(ClientError):
    """No connection could be made, or it broke before the answer was complete."""


class TimedOut(Unreachable):
    """Nobody answered in time."""


class CertificateRejected(Unreachable):
    """TLS found that the other side is not who it should be."""


class Refused(ClientError):
    """The registry answered with an error status. `code` is empty when it gave none."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        detail: Any = None,
        temporary: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, temporary=temporary, retry_after=retry_after)
        self.status = status
        self.code = code
        self.detail = detail


class Unauthenticated(Refused):
    """401 after every credential at hand was tried."""


class Forbidden(Refused):
    """403: known, but not allowed."""


class NotFound(Refused):
    """404: no such repository, manifest, blob or upload."""


class NotSupported(Refused):
    """405 or 501: this registry does not do that, or not in its present configuration."""


class Overloaded(Refused):
    """429: too many requests."""


class ProtocolViolation(ClientError):
    """An answer that the specification does not allow and that cannot be worked with."""


class RealmRefused(ClientError):
    """A registry named a token server to which its credentials must not be sent."""


class ContentInvalid(ClientError):
    """Bytes that are not what their digest or size says, or an archive that is not safe."""


class NoSuchImage(ClientError):
    """A layout or archive does not hold the image or platform that was asked for."""


class LocationInvalid(ClientError):
    """A text that names neither a registry reference nor a local image."""


class CredentialsUnavailable(ClientError):
    """A credential helper or a login file that cannot be read or written."""


def first_error(error: BaseException) -> BaseException:
    """What went wrong first in a group of tasks: the others were ended because of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
