"""The vectors of clip, dino and faces, over whichever engine the settings name."""

from __future__ import annotations

import atexit
import functools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from django.conf import settings
from django.utils.module_loading import import_string

from vectors.collections import COLLECTIONS, CollectionSpec, ModelCollection, VectorKind
from vectors.engines.base import VectorEngine
from vectors.errors import ModelInUseError, ModelMismatchError, UnknownModelError
from vectors.schemas import Filter, HasId, Hit, MatchAny, Payload, Record, Vector, VectorPoint, VectorSettings
from vectors.validation import checked_id, cleaned, cleaned_payload, require_conditions, unit

BATCH = 256
"""Points in one request: large enough to be fast, small enough not to hold others up for long."""

EVERYTHING = Filter()

T = TypeVar("T")


class QdrantVectorStore:
    """One kind of vectors, of however many models. Unless another is named, the current model's are read.

    Safe to use from several threads.
    """

    def __init__(self, engine: VectorEngine, spec: CollectionSpec) -> None:
        self._engine = engine
        self._spec = spec

    # --- Models ---

    def models(self) -> dict[str, int]:
        """The dimension of each model that has vectors."""
        return {each.model: each.dimension for each in self._collections()}

    def current_model(self) -> str | None:
        current = self._current()
        return None if current is None else current.model

    def switch(self, model: str) -> None:
        """From now on this model's vectors are the ones to read and search."""
        self._engine.point_alias(self._spec.name, self._of_model(model).physical_name)

    def drop(self, model: str) -> None:
        if model == self.current_model():
            raise ModelInUseError(f"{model!r} is the current model of {self._spec.name}; switch first.")
        self._engine.drop(self._of_model(model).physical_name)

    # --- Writing ---

    def upsert(self, points: Iterable[VectorPoint], *, model: str) -> None:
        """Vectors of any length but 0; kept with length 1. The first model ever written becomes current."""
        dimension = self.models().get(model, self._spec.dimension)
        home = ModelCollection(self._spec.name, model, dimension)
        ready = [cleaned(point, home) for point in points]
        if not ready:
            return
        name = home.physical_name
        self._engine.ensure(name, dimension=dimension, indexes=self._spec.indexes)
        for batch in _batches(ready):
            self._engine.upsert(name, batch)
        if self._engine.alias_target(self._spec.name) is None:
            self._engine.point_alias(self._spec.name, name)

    def delete(self, ids: Iterable[int]) -> None:
        """Of every model; unknown ids are fine."""
        for batch in _id_batches(ids):
            self.delete_by(Filter(must=(HasId(frozenset(batch)),)))

    def delete_of_entities(self, entity_ids: Iterable[int]) -> None:
        """Of every model, whatever their own ids."""
        for batch in _id_batches(entity_ids):
            self.delete_by(Filter(must=(MatchAny("entity_id", tuple(batch)),)))

    def delete_by(self, filter: Filter) -> None:
        """Of every model."""
        require_conditions(filter)
        for each in self._collections():
            self._engine.delete(each.physical_name, filter)

    def set_payload(self, which: Iterable[int] | Filter, payload: Payload) -> None:
        """In every model; keys that are not named keep their values, unknown ids are fine."""
        ready = cleaned_payload(payload)
        for chosen in _as_filters(which):
            for each in self._collections():
                self._engine.set_payload(each.physical_name, chosen, ready)

    # --- Reading ---

    def fetch(self, ids: Iterable[int], *, model: str | None = None) -> dict[int, Vector]:
        """Those that are there, each with length 1."""
        return {key: point.vector for key, point in self.fetch_points(ids, model=model).items()}

    def fetch_points(self, ids: Iterable[int], *, model: str | None = None) -> dict[int, VectorPoint]:
        home = self._readable(model)
        if home is None:
            return {}
        return {
            point.id: point
            for batch in _id_batches(ids)
            for point in self._engine.retrieve(home.physical_name, batch)
        }

    def scroll(
        self, filter: Filter = EVERYTHING, *, model: str | None = None, batch: int = 1000
    ) -> Iterator[Record]:
        """By rising id, one batch in memory at a time. Changes made meanwhile may or may not be seen."""
        home = self._readable(model)
        offset: int | None = 0
        while home is not None and offset is not None:
            records, offset = self._engine.scroll(home.physical_name, filter, limit=batch, offset=offset)
            yield from records

    def count(self, filter: Filter = EVERYTHING, *, model: str | None = None) -> int:
        home = self._readable(model)
        return 0 if home is None else self._engine.count(home.physical_name, filter)

    def search(
        self,
        vector: Vector,
        *,
        model: str,
        limit: int,
        score_threshold: float | None = None,
        filter: Filter | None = None,
        exclude_ids: Iterable[int] = (),
    ) -> list[Hit]:
        """Nearest first; nothing where there are no vectors yet.

        Raises ModelMismatchError where the vector's model is not the current one.
        """
        home = self._current()
        if home is None:
            return []
        if model != home.model:
            raise ModelMismatchError(asked=model, current=home.model)
        others = _excluding(filter or EVERYTHING, exclude_ids)
        return self._nearest(home, unit(vector, home), limit, score_threshold, others)

    def search_like(
        self,
        id: int,
        *,
        limit: int,
        score_threshold: float | None = None,
        filter: Filter | None = None,
        exclude_ids: Iterable[int] = (),
    ) -> list[Hit] | None:
        """What is nearest to the item, without the item itself; None where it has no vector."""
        home = self._current()
        found = self._engine.retrieve(home.physical_name, [checked_id(id)]) if home else []
        if home is None or not found:
            return None
        others = _excluding(filter or EVERYTHING, (id, *exclude_ids))
        return self._nearest(home, found[0].vector, limit, score_threshold, others)

    def _nearest(
        self, home: ModelCollection, query: Vector, limit: int, score_threshold: float | None, filter: Filter
    ) -> list[Hit]:
        """Asks the physical collection, not the alias: it may move meanwhile."""
        hits = self._engine.search(
            home.physical_name, query, filter, limit=limit, score_threshold=score_threshold
        )
        # Rounding can take the cosine of equal vectors above 1.
        return [Hit(hit.id, min(hit.score, 1.0), hit.payload) for hit in hits]

    # --- Which collection ---

    def _collections(self) -> list[ModelCollection]:
        parsed = (ModelCollection.parse(self._spec.name, name) for name in self._engine.collections())
        return [each for each in parsed if each is not None]

    def _current(self) -> ModelCollection | None:
        target = self._engine.alias_target(self._spec.name)
        return None if target is None else ModelCollection.parse(self._spec.name, target)

    def _readable(self, model: str | None) -> ModelCollection | None:
        return self._current() if model is None else self._of_model(model)

    def _of_model(self, model: str) -> ModelCollection:
        for each in self._collections():
            if each.model == model:
                return each
        raise UnknownModelError(f"{self._spec.name} has no vectors of the model {model!r}.")


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _id_batches(ids: Iterable[int]) -> Iterator[Sequence[int]]:
    return _batches([checked_id(each) for each in ids])


def _as_filters(which: Iterable[int] | Filter) -> Iterable[Filter]:
    if isinstance(which, Filter):
        return [require_conditions(which)]
    return (Filter(must=(HasId(frozenset(batch)),)) for batch in _id_batches(which))


def _excluding(filter: Filter, ids: Iterable[int]) -> Filter:
    excluded = frozenset(checked_id(each) for each in ids)
    return Filter(filter.must, (*filter.must_not, HasId(excluded))) if excluded else filter


# --- One of each, once per process. The engine's module is imported here and nowhere else, so that a process
# loads the library of the engine it uses and not the other's. ---

_lock = threading.Lock()


def get_clip_store() -> QdrantVectorStore:
    return _get(VectorKind.CLIP)


def get_dino_store() -> QdrantVectorStore:
    return _get(VectorKind.DINO)


def get_face_store() -> QdrantVectorStore:
    return _get(VectorKind.FACE)


def close_stores() -> None:
    """Everything is on disk afterwards. The stores handed out before are done for; ask for new ones."""
    with _lock:
        if _engine.cache_info().currsize:
            _engine().close()
        _engine.cache_clear()
        _stores.cache_clear()


def _get(kind: VectorKind) -> QdrantVectorStore:
    with _lock:
        return _stores()[kind]


@functools.cache
def _stores() -> Mapping[VectorKind, QdrantVectorStore]:
    chosen: VectorSettings = settings.VECTORS
    specs = {
        kind: replace(spec, name=chosen.collections[kind].name, dimension=chosen.collections[kind].dimension)
        for kind, spec in COLLECTIONS.items()
    }
    return {kind: QdrantVectorStore(_engine(), spec) for kind, spec in specs.items()}


@functools.cache
def _engine() -> VectorEngine:
    chosen: VectorSettings = settings.VECTORS
    name = "server.ServerEngine" if chosen.url else "edge.EdgeEngine"
    engine: VectorEngine = import_string(f"vectors.engines.{name}").create(chosen)
    atexit.register(close_stores)
    return engine
