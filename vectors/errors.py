"""What can go wrong with vectors. Only VectorsUnavailableError may pass by itself."""

from __future__ import annotations


class VectorStoreError(Exception):
    """Anything that the vector store could not do."""


class VectorsUnavailableError(VectorStoreError):
    """The engine is away, busy or out of space: trying again later may help."""


class CollectionGoneError(VectorsUnavailableError):
    """The vectors of a model were dropped meanwhile; the next write makes their collection anew."""


class VectorsInUseError(VectorStoreError):
    """Another process has the folder of embedded vectors open."""


class VectorsClosedError(VectorStoreError):
    """The store was closed; ask for a new one."""


class VectorsCorruptError(VectorStoreError):
    """The files of embedded vectors cannot be read."""


class InvalidVectorError(VectorStoreError):
    """Not one finite, non-zero vector of floats."""


class DimensionMismatchError(InvalidVectorError):
    def __init__(self, *, got: int, expected: int, of: str) -> None:
        super().__init__(f"The vector has {got} dimensions, but {of} has {expected}.")
        self.got = got
        self.expected = expected


class InvalidPayloadError(VectorStoreError):
    """A payload or a filter holds something that not every engine can keep or match."""


class ModelMismatchError(VectorStoreError):
    def __init__(self, *, asked: str, current: str) -> None:
        super().__init__(
            f"The vector comes from the model {asked!r}, but the vectors to be searched from {current!r}: "
            "vectors of two models cannot be compared."
        )


class UnknownModelError(VectorStoreError):
    """There are no vectors of this model."""


class ModelInUseError(VectorStoreError):
    """The model is the current one; switch to another first."""
