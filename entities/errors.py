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
