"""What can be wrong with a write. The API says each of them with its own status."""

from __future__ import annotations


class EntityError(Exception):
    """Nothing was changed; the message says what to do."""


class InvalidHierarchyError(EntityError):
    pass


class ContentRequiredError(EntityError):
    """An entity that is not a collection came without a file, or with an empty one."""


class ContentNotAllowedError(EntityError):
    """A collection came with a file."""


class UploadTooLargeError(EntityError):
    pass


class StorageFullError(EntityError):
    pass


class QuotaExceededError(EntityError):
    """The caller has stored as much as may be stored in a day."""

    def __init__(self, message: str, *, wait_seconds: float) -> None:
        super().__init__(message)
        self.wait = wait_seconds


class EntityNotFoundError(EntityError):
    def __init__(self) -> None:
        super().__init__("Entity not found")


class VersionNotFoundError(EntityError):
    def __init__(self, number: int) -> None:
        super().__init__(f"The entity has no version {number}")


class NotInTrashError(EntityError):
    """Only what was soft-deleted can be removed for good."""


class KindMismatchError(EntityError):
    """A file cannot become a collection, nor a collection a file."""


class ContentTakenError(EntityError):
    """Another entity holds these bytes."""
