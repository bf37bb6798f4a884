"""Errors of the storage become what a client can be told."""

from longshore.oci.errors import RegistryError, StorageFull, Unavailable
from longshore.storage.driver import StorageError, StorageNoSpace


def explain_storage(error: Exception) -> RegistryError | None:
    """The refusal for a storage error; None for anything else. Paths stay in the log."""
    if isinstance(error, StorageNoSpace):
        return StorageFull(
            "the registry's storage is full: nothing of this request was kept; "
            "push again when there is room"
        )
    if isinstance(error, StorageError):
        return Unavailable(
            "the registry's storage does not answer: try again in a moment",
            headers={"Retry-After": "5"},
        )
    return None
