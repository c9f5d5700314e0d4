"""What every engine can do. It knows physical collections and aliases, and nothing of models."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, Self

from vectors.collections import IndexType
from vectors.schemas import Filter, Hit, PayloadChange, Query, Record, VectorPoint, VectorSettings


class VectorEngine(Protocol):
    """Safe to use from several threads. Every write may be repeated. Vectors arrive with length 1.

    Raises VectorsUnavailableError where trying again may help, another VectorStoreError where not;
    CollectionGoneError where the collection is not there.
    """

    @classmethod
    def create(cls, settings: VectorSettings) -> Self:
        """Cheap: nothing is opened and nobody is called before the first use."""

    def collections(self) -> Collection[str]: ...

    def ensure(self, collection: str, *, dimension: int, indexes: Mapping[str, IndexType]) -> None:
        """Makes the collection or the indexes that are not there yet."""

    def drop(self, collection: str) -> None: ...

    def alias_target(self, alias: str) -> str | None: ...

    def point_alias(self, alias: str, collection: str) -> None:
        """Atomic: readers see the old target or the new one."""

    def upsert(self, collection: str, points: Sequence[VectorPoint]) -> None: ...

    def retrieve(self, collection: str, ids: Sequence[int]) -> list[VectorPoint]:
        """Those that are there, in any order."""

    def delete(self, collection: str, filter: Filter) -> None: ...

    def set_payloads(self, collection: str, changes: Sequence[PayloadChange]) -> None:
        """One after the other. Keys that are not named keep their values."""

    def search(
        self,
        collection: str,
        queries: Sequence[Query],
        *,
        limit: int,
        score_threshold: float | None,
        with_payload: bool = True,
    ) -> list[list[Hit]]:
        """What each of them finds, the nearest first."""

    def scroll(
        self, collection: str, filter: Filter, *, limit: int, offset: int, with_payload: bool = True
    ) -> tuple[list[Record], int | None]:
        """By rising id, from the id given as offset on; with the next offset, None after the last."""

    def count(self, collection: str, filter: Filter) -> int: ...

    def close(self) -> None: ...
