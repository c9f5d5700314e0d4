"""Vectors embedded in this process: one Qdrant Edge shard a collection. The only file that knows qdrant_edge.

What its calls are like (0.9.0, measured), and what follows from that:

- Each holds the interpreter's lock from beginning to end, so one at a time runs whatever the threads. For a
  search or a write those are milliseconds; for load(), some seconds a million points; for optimize(), which
  builds the search index, minutes. So a child process optimizes a copy. Writes go on while that is made and
  are noted; once they are repeated on the copy, it takes the place of the original. Points without an index
  are found too, by comparing with each of them.
- A write is in the write-ahead log when it returns: that outlives the process, but not the machine. So what
  has changed is flushed every few seconds, which also keeps the log short. A power cut costs those seconds.
- Every failure is a bare Exception.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import qdrant_edge as qdrant

from vectors.collections import IndexType
from vectors.engines.folder import corrupt, remove
from vectors.engines.keeper import Keeper, NotesLostError
from vectors.engines.mirroring import Mirror
from vectors.errors import VectorsClosedError, VectorStoreError, VectorsUnavailableError
from vectors.schemas import (
    Condition,
    DatetimeRange,
    Filter,
    HasId,
    Hit,
    Match,
    MatchAny,
    PayloadChange,
    Query,
    Range,
    Record,
    VectorPoint,
    VectorSettings,
)
from vectors.validation import plain

FLUSH_SECONDS = 5.0
INDEX_AFTER = 10_000
"""Points without an index that are worth one; it also takes a tenth of all points, so that the work for n
points grows with n log n. Comparing with 10,000 takes about 1 ms."""
MOST_NOTED = 100_000
"""Points that may be written while an index is made; noting more would take too much memory. Then it is begun
anew later, when less is written."""
FEW_NOTED = 4
"""Operations left over for the moment in which nobody may write."""
MOST_ROUNDS = 20

T = TypeVar("T")


class EdgeEngine:
    """Opens the folder at the first use; one process at a time may."""

    def __init__(
        self, path: Path, *, flush_seconds: float = FLUSH_SECONDS, index_after: int = INDEX_AFTER
    ) -> None:
        self._index_after = index_after
        load = partial(_Shard.load, index_after=index_after)
        self._keeper = Keeper(path, load, every_seconds=flush_seconds)

    @classmethod
    def create(cls, settings: VectorSettings) -> Self:
        return cls(settings.path)

    def collections(self) -> Collection[str]:
        return self._keeper.folder().contents.collections

    def ensure(self, collection: str, *, dimension: int, indexes: Mapping[str, IndexType]) -> None:
        make = partial(_Shard.make, dimension=dimension, indexes=indexes, index_after=self._index_after)
        self._keeper.ensure(collection, make).add_indexes(indexes)

    def drop(self, collection: str) -> None:
        self._keeper.drop(collection)

    def alias_target(self, alias: str) -> str | None:
        return self._keeper.folder().contents.aliases.get(alias)

    def point_alias(self, alias: str, collection: str) -> None:
        self._keeper.point_alias(alias, collection)

    def upsert(self, collection: str, points: Sequence[VectorPoint]) -> None:
        # Lists: half the time of arrays here.
        rows = np.stack([point.vector for point in points]).tolist()
        made = [
            qdrant.Point(point.id, row, dict(point.payload)) for point, row in zip(points, rows, strict=True)
        ]
        self._keeper.shard(collection).write(qdrant.UpdateOperation.upsert_points(made), moves=len(made))

    def retrieve(self, collection: str, ids: Sequence[int]) -> list[VectorPoint]:
        found = self._keeper.shard(collection).read(
            lambda shard: shard.retrieve(list(ids), with_payload=True, with_vector=True)
        )
        return [
            VectorPoint(_id(each), np.array(each.vector, dtype=np.float32), each.payload or {})
            for each in found
        ]

    def delete(self, collection: str, filter: Filter) -> None:
        operation = qdrant.UpdateOperation.delete_points_by_filter(_filter(filter))
        self._keeper.shard(collection).write(operation, moves=0)

    def set_payloads(self, collection: str, changes: Sequence[PayloadChange]) -> None:
        shard = self._keeper.shard(collection)
        for change in changes:
            shard.set_payload(_filter(change.filter), dict(change.payload))

    def search(
        self,
        collection: str,
        queries: Sequence[Query],
        *,
        limit: int,
        score_threshold: float | None,
        with_payload: bool = True,
    ) -> list[list[Hit]]:
        shard = self._keeper.shard(collection)

        def ask(query: Query) -> list[Hit]:
            request = qdrant.QueryRequest(
                limit=limit,
                query=qdrant.Query.Nearest(query.vector.tolist()),
                filter=_filter(query.filter),
                params=_BEYOND_NEIGHBOURS,
                score_threshold=score_threshold,
                with_payload=with_payload,
            )
            found = shard.read(lambda it: it.query(request))
            return [Hit(_id(each), each.score, each.payload or {}) for each in found]

        return [ask(each) for each in queries]  # a writer finds its turn between them

    def scroll(
        self, collection: str, filter: Filter, *, limit: int, offset: int, with_payload: bool = True
    ) -> tuple[list[Record], int | None]:
        request = qdrant.ScrollRequest(
            offset=offset, limit=limit, filter=_filter(filter), with_payload=with_payload, with_vector=False
        )
        found, following = self._keeper.shard(collection).read(lambda shard: shard.scroll(request))
        assert following is None or isinstance(following, int)
        return [Record(_id(each), each.payload or {}) for each in found], following

    def count(self, collection: str, filter: Filter) -> int:
        request = qdrant.CountRequest(exact=True, filter=_filter(filter))
        return self._keeper.shard(collection).read(lambda shard: shard.count(request))

    def is_indexed(self, collection: str) -> bool:
        """As far as it is worth it; searches are as fast as they get."""
        return not (self._keeper.is_indexing() or self._keeper.shard(collection).wants_index())

    def close(self) -> None:
        self._keeper.close()


class _Shard:
    """A shard that can be exchanged for an indexed copy of itself while it is used."""

    def __init__(self, path: Path, shard: qdrant.EdgeShard, index_after: int) -> None:
        self._path = path
        self._shard: qdrant.EdgeShard | None = shard
        self._index_after = index_after
        self._writing = threading.RLock()  # taken before the other
        self._using = threading.Lock()  # costs nothing: the calls exclude each other anyway
        self._changed = False
        self._moved = 0
        self._moved_before = 0
        self._noted: list[qdrant.UpdateOperation] | None = None
        self._noted_points = 0
        self._fresh: tuple[Path, qdrant.EdgeShard] | None = None

    @classmethod
    def make(cls, path: Path, *, dimension: int, indexes: Mapping[str, IndexType], index_after: int) -> Self:
        path.mkdir()
        with _translated():
            made = cls(path, qdrant.EdgeShard.create(str(path), _config(dimension)), index_after)
        made.add_indexes(indexes)
        made.flush()
        return made

    @classmethod
    def load(cls, path: Path, *, index_after: int) -> Self:
        return cls(path, _loaded(path), index_after)

    def read(self, ask: Callable[[qdrant.EdgeShard], T]) -> T:
        with self._using, _translated():
            return ask(self._open)

    def write(self, operation: qdrant.UpdateOperation, *, moves: int) -> None:
        """`moves` is how many points it puts where they have no index yet."""
        with self._writing:
            self._changed = True
            self.read(lambda shard: shard.update(operation))
            self._moved += moves
            self._note(operation, moves)

    def set_payload(self, chosen: qdrant.Filter, payload: dict[str, Any]) -> None:
        """A point with a new payload leaves the index."""
        moves = self.read(lambda it: it.count(qdrant.CountRequest(exact=False, filter=chosen)))
        self.write(qdrant.UpdateOperation.set_payload_by_filter(chosen, payload), moves=moves)

    def add_indexes(self, indexes: Mapping[str, IndexType]) -> None:
        there = self.read(lambda shard: shard.info()).payload_schema
        for key in indexes.keys() - there.keys():
            self.write(qdrant.UpdateOperation.create_field_index(key, _INDEXES[indexes[key]]), moves=0)

    def flush(self) -> None:
        with self._writing:
            if self._changed and self._shard is not None:
                self.read(lambda shard: shard.flush())
                self._changed = False

    def close(self) -> None:
        """Flushes, too."""
        with self._writing, self._using, _translated():
            shard, self._shard = self._shard, None
            if shard is not None:
                shard.close()

    def wants_index(self) -> bool:
        info = self.read(lambda shard: shard.info())
        # The first counts what is new, since before the process began; the second what only moved as well.
        unindexed = max(info.points_count - info.indexed_vectors_count, self._moved)
        return unindexed >= max(self._index_after, info.points_count // 10)

    def copy_to(self, path: Path) -> None:
        """Others read and write meanwhile; writes wait only for what has changed since the copying began."""
        mirror = Mirror(self._path, path)
        try:
            self.read(lambda shard: shard.flush())
            mirror.copy_roughly()
            with self._writing:
                self.read(lambda shard: shard.flush())
                mirror.follow()
                self._noted, self._noted_points = [], 0
                self._moved_before = self._moved
        except (OSError, VectorStoreError):
            remove(path)
            raise

    def is_noting(self) -> bool:
        return self._noted is not None

    def catch_up(self, path: Path) -> None:
        fresh = _loaded(path)
        self._fresh = path, fresh
        for _ in range(MOST_ROUNDS):
            noted = self._take_noted()
            _repeat(noted, fresh)
            if len(noted) <= FEW_NOTED:
                break
        with _translated():
            fresh.flush()

    def exchange(self, *, commit: Callable[[], None]) -> None:
        assert self._fresh is not None
        path, fresh = self._fresh
        with self._writing:
            _repeat(self._take_noted(), fresh)
            with _translated():
                fresh.flush()
            commit()
            with self._using:
                old, old_path = self._open, self._path
                self._shard, self._path, self._fresh = fresh, path, None
            self._noted = None
            self._moved -= self._moved_before
        with suppress(VectorStoreError), _translated():
            old.close()
        remove(old_path)

    def stop_noting(self) -> None:
        with self._writing:
            self._noted = None
            fresh, self._fresh = self._fresh, None
        if fresh is not None:
            with suppress(VectorStoreError), _translated():
                fresh[1].close()

    def _note(self, operation: qdrant.UpdateOperation, points: int) -> None:
        if self._noted is not None:
            self._noted.append(operation)
            self._noted_points += points
            if self._noted_points > MOST_NOTED:
                self._noted = None

    def _take_noted(self) -> list[qdrant.UpdateOperation]:
        """Raises NotesLostError where there were too many."""
        with self._writing:
            if self._noted is None:
                raise NotesLostError("Too much was written for the search index to follow.")
            noted, self._noted = self._noted, []
            self._noted_points = 0
            return noted

    @property
    def _open(self) -> qdrant.EdgeShard:
        if self._shard is None:
            raise VectorsClosedError("These vectors were closed or dropped meanwhile.")
        return self._shard


def _repeat(operations: Iterable[qdrant.UpdateOperation], shard: qdrant.EdgeShard) -> None:
    with _translated():
        for operation in operations:
            shard.update(operation)


def _config(dimension: int, index: qdrant.HnswIndexConfig | None = None) -> qdrant.EdgeConfig:
    return qdrant.EdgeConfig(
        vectors=qdrant.EdgeVectorParams(size=dimension, distance=qdrant.Distance.Cosine),
        hnsw_config=index,
        # In kilobytes: all there is when an index is made becomes part of it.
        optimizers=qdrant.EdgeOptimizersConfig(indexing_threshold=1),
    )


def _loaded(path: Path) -> qdrant.EdgeShard:
    try:
        with _translated():
            return qdrant.EdgeShard.load(str(path))
    except VectorsUnavailableError as error:
        raise corrupt(path, error) from error


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise VectorsUnavailableError(f"The embedded vector engine failed: {error}") from error


_INDEXES: Mapping[
    IndexType, qdrant.IntegerIndexParams | qdrant.KeywordIndexParams | qdrant.DatetimeIndexParams
] = {
    IndexType.INTEGER: qdrant.IntegerIndexParams(lookup=True, range=True, enable_hnsw=False),
    IndexType.KEYWORD: qdrant.KeywordIndexParams(enable_hnsw=False),
    IndexType.DATETIME: qdrant.DatetimeIndexParams(enable_hnsw=False),
}
"""None gets links of its own in the search index: to make those of a key takes as long as all the others."""

_LINKS, _LOOKED_AT = 16, 100
"""HNSW's m and ef_construct, as Qdrant has them where nobody says more."""

_COMPARED_IN = 10
"""Where a filter keeps less than one point in so many, each that it keeps is compared: 100,000 in 37 ms."""

_BEYOND_NEIGHBOURS = qdrant.SearchParams(acorn=qdrant.AcornSearchParams(enable=True, max_selectivity=0.75))
"""Where it keeps more, but not nearly all, the search goes on through neighbours that are not kept; else it
would be stranded among them. The method is ACORN-1 of Patel et al., SIGMOD 2024."""


def _filter(filter: Filter) -> qdrant.Filter:
    must = [_condition(each) for each in filter.must]
    return qdrant.Filter(must=[*must], must_not=[_condition(each) for each in filter.must_not])


def _condition(condition: Condition) -> qdrant.FieldCondition | qdrant.HasIdCondition:
    match condition:
        case Match(key, value):
            return qdrant.FieldCondition(key, match=qdrant.MatchValue(plain(value)))
        case MatchAny(key, values):
            return qdrant.FieldCondition(key, match=qdrant.MatchAny(plain(values)))
        case Range(key=key, gte=gte, gt=gt, lte=lte, lt=lt):
            return qdrant.FieldCondition(key, range=qdrant.RangeFloat(gte, gt, lte, lt))
        case DatetimeRange(key=key, gte=gte, gt=gt, lte=lte, lt=lt):
            bounds = (plain(bound) for bound in (gte, gt, lte, lt))
            return qdrant.FieldCondition(key, range=qdrant.RangeDateTime(*bounds))
        case HasId(ids):
            return qdrant.HasIdCondition(set(ids))


def _id(found: qdrant.ScoredPoint | qdrant.Record) -> int:
    assert isinstance(found.id, int)
    return found.id


def _index(folder: str) -> None:
    """What the child process does."""
    os.nice(10)  # those who use the store come first
    config = _config_for_search(folder)
    shard = qdrant.EdgeShard.load(folder, config)
    shard.optimize()
    shard.close()


def _config_for_search(folder: str) -> qdrant.EdgeConfig:
    """What has grown is asked otherwise, and the shard takes that from whoever makes its index."""
    shard = qdrant.EdgeShard.load(folder)
    points = shard.info().points_count
    (one,), _ = shard.scroll(qdrant.ScrollRequest(limit=1, with_vector=True))
    shard.close()
    assert isinstance(one.vector, list)
    dimension = len(one.vector)
    kilobytes = points // _COMPARED_IN * dimension * 4 // 1024
    return _config(dimension, qdrant.HnswIndexConfig(_LINKS, _LOOKED_AT, kilobytes))


if __name__ == "__main__":
    _index(sys.argv[1])
