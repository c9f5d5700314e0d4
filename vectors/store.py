"""The vectors of one kind, over whichever engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from vectors.collections import CollectionSpec, ModelCollection
from vectors.engines.base import VectorEngine
from vectors.errors import CollectionGoneError, ModelInUseError, ModelMismatchError, UnknownModelError
from vectors.known import KnownCollections
from vectors.schemas import (
    Filter,
    HasId,
    Hit,
    MatchAny,
    Payload,
    PayloadChange,
    Query,
    Record,
    Vector,
    VectorPoint,
)
from vectors.validation import checked_id, cleaned, cleaned_payload, require_conditions, unit

BATCH = 256
"""Points in one request: large enough to be fast, small enough not to hold others up for long."""

SEARCHES = 32
"""In one request: among a million vectors, each takes the engine some milliseconds."""

EVERYTHING = Filter()

T = TypeVar("T")


class QdrantVectorStore:
    """One kind of vectors, of however many models. Unless another is named, the current model's are read:
    the one that `chosen` names, or where it names none, the one that the alias points at.

    Safe to use from several threads.
    """

    def __init__(
        self,
        engine: VectorEngine,
        spec: CollectionSpec,
        chosen: Callable[[], str | None] | None = None,
        dimension_of: Callable[[str], int | None] | None = None,
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._chosen = chosen
        self._dimension_of = dimension_of
        self._known = KnownCollections(engine, spec.name)
        self._has_alias = False  # it is never taken away, except with all the rest

    @property
    def name(self) -> str:
        """Of the collections of all models together, as clients know it."""
        return self._spec.name

    # --- Models ---

    @property
    def dimension(self) -> int:
        """Of models that do not tell theirs."""
        return self._spec.dimension

    def models(self) -> dict[str, int]:
        """The dimension of each model that has vectors."""
        return {each.model: each.dimension for each in self._known.now()}

    def current_model(self) -> str | None:
        """The one to read; it may have no vectors yet."""
        return (self._chosen() if self._chosen else None) or self.alias_model()

    def alias_model(self) -> str | None:
        target = self._engine.alias_target(self._spec.name)
        home = None if target is None else ModelCollection.parse(self._spec.name, target)
        return None if home is None else home.model

    def switch(self, model: str) -> None:
        """Points the alias at this model's vectors: they are read from now on, unless `chosen` says more."""
        self._engine.point_alias(self._spec.name, self._of_model(model).physical_name)

    def drop(self, model: str) -> None:
        if model in (self.current_model(), self.alias_model()):
            raise ModelInUseError(f"{model!r} is the current model of {self._spec.name}; switch first.")
        self._engine.drop(self._of_model(model).physical_name)
        self._known.forget()

    # --- Writing ---

    def upsert(self, points: Iterable[VectorPoint], *, model: str) -> None:
        """Vectors of any length but 0; kept with length 1. The first model ever written becomes current."""
        home = self._known.of_model(model) or self._new_home(model)
        ready = [cleaned(point, home) for point in points]
        if not ready:
            return
        with self._forgetting_what_is_gone():
            self._engine.ensure(home.physical_name, dimension=home.dimension, indexes=self._spec.indexes)
            for batch in _batches(ready):
                self._engine.upsert(home.physical_name, batch)
        self._known.note(home)
        if not self._has_alias:
            if self._engine.alias_target(self._spec.name) is None:
                self._engine.point_alias(self._spec.name, home.physical_name)
            self._has_alias = True

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
        for each in self._known.now():
            self._engine.delete(each.physical_name, filter)

    def set_payload(self, which: Iterable[int] | Filter, payload: Payload) -> None:
        """In every model; keys that are not named keep their values, unknown ids are fine."""
        self.set_payloads([(which, payload)])

    def set_payloads(self, changes: Iterable[tuple[Iterable[int] | Filter, Payload]]) -> None:
        """Each for other points, as `set_payload` does it."""
        ready = [
            PayloadChange(chosen, cleaned_payload(payload))
            for which, payload in changes
            for chosen in _as_filters(which)
        ]
        if not ready:
            return
        for each in self._known.now():
            for batch in _batches(ready):
                self._engine.set_payloads(each.physical_name, batch)

    # --- Reading ---

    def fetch(self, ids: Iterable[int], *, model: str | None = None) -> dict[int, Vector]:
        """Those that are there, each with length 1."""
        return {key: point.vector for key, point in self.fetch_points(ids, model=model).items()}

    def fetch_points(self, ids: Iterable[int], *, model: str | None = None) -> dict[int, VectorPoint]:
        wanted = list(ids)

        def retrieve(home: ModelCollection) -> dict[int, VectorPoint]:
            name = home.physical_name
            return {p.id: p for batch in _id_batches(wanted) for p in self._engine.retrieve(name, batch)}

        return self._read(model, retrieve) or {}

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
        return self._read(model, lambda home: self._engine.count(home.physical_name, filter)) or 0

    def ids(
        self, *, after: int, last: int | None, model: str | None = None, batch: int = 10_000
    ) -> Iterator[int]:
        """Those greater than `after` and up to `last`, or all that follow; rising."""
        home = self._readable(model)
        offset: int | None = after + 1
        while home is not None and offset is not None and (last is None or offset <= last):
            records, offset = self._engine.scroll(
                home.physical_name, EVERYTHING, limit=batch, offset=offset, with_payload=False
            )
            yield from (each.id for each in records if last is None or each.id <= last)

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

        Raises ModelMismatchError where the vector's model is not the current one: ask again with a vector of
        that. Whatever is switched to or dropped meanwhile, only vectors of its own model are looked at.
        """
        if not self._is_read(model):
            return []
        others = _excluding(filter or EVERYTHING, exclude_ids)

        def nearest(home: ModelCollection) -> list[Hit]:
            (hits,) = self._nearest(home, [Query(unit(vector, home), others)], limit, score_threshold)
            return hits

        found = self._read(model, nearest)
        if found is None:  # it has no vectors yet, or they were dropped a moment ago
            self._is_read(model)
        return found or []

    def search_like(
        self,
        id: int,
        *,
        limit: int,
        score_threshold: float | None = None,
        filter: Filter | None = None,
        exclude_ids: Iterable[int] = (),
        model: str | None = None,
    ) -> list[Hit] | None:
        """What is nearest to the item, without the item itself; None where it has no vector."""
        others = _excluding(filter or EVERYTHING, exclude_ids)
        found = self.search_like_each(
            [id], limit=limit, score_threshold=score_threshold, filter=others, model=model, with_payload=True
        )
        return found.get(id)

    def search_like_each(
        self,
        ids: Iterable[int],
        *,
        limit: int,
        score_threshold: float | None = None,
        filter: Filter = EVERYTHING,
        model: str | None = None,
        with_payload: bool = False,
    ) -> dict[int, list[Hit]]:
        """What is nearest to each of the items, without the item itself, by the ids of those that have a
        vector. A few requests, however many items.
        """
        wanted = [checked_id(each) for each in ids]

        def nearest(home: ModelCollection) -> dict[int, list[Hit]]:
            found: dict[int, list[Hit]] = {}
            for batch in _batches(wanted, SEARCHES):
                points = self._engine.retrieve(home.physical_name, batch)
                queries = [Query(point.vector, _excluding(filter, [point.id])) for point in points]
                answers = self._nearest(home, queries, limit, score_threshold, with_payload=with_payload)
                found.update(zip((point.id for point in points), answers, strict=True))
            return found

        return self._read(model, nearest) or {}

    def _nearest(
        self,
        home: ModelCollection,
        queries: Sequence[Query],
        limit: int,
        score_threshold: float | None,
        *,
        with_payload: bool = True,
    ) -> list[list[Hit]]:
        """Asks the physical collection, not the alias: it may move meanwhile."""
        if not queries:
            return []
        answers = self._engine.search(
            home.physical_name,
            queries,
            limit=limit,
            score_threshold=score_threshold,
            with_payload=with_payload,
        )
        # Rounding can take the cosine of equal vectors above 1.
        return [[Hit(hit.id, min(hit.score, 1.0), hit.payload) for hit in hits] for hits in answers]

    # --- Which collection ---

    def _is_read(self, model: str) -> bool:
        """False where nothing is. Raises ModelMismatchError where another one is."""
        current = self.current_model()
        if current is not None and current != model:
            raise ModelMismatchError(asked=model, current=current)
        return current is not None

    def _new_home(self, model: str) -> ModelCollection:
        told = self._dimension_of(model) if self._dimension_of else None
        return ModelCollection(self._spec.name, model, told or self._spec.dimension)

    def _read(self, model: str | None, ask: Callable[[ModelCollection], T | None]) -> T | None:
        """None where there is nothing to ask. One collection answers all of it, whatever is switched to
        meanwhile."""
        home = self._readable(model)
        if home is None:
            return None
        try:
            return ask(home)
        except CollectionGoneError:  # since it was last seen
            if home in self._known.now():
                raise
            again = self._readable(model)
            return None if again is None else ask(again)

    def _readable(self, model: str | None) -> ModelCollection | None:
        model = model or self.current_model()
        return None if model is None else self._known.of_model(model)

    def _of_model(self, model: str) -> ModelCollection:
        home = self._known.of_model(model)
        if home is None:
            raise UnknownModelError(f"{self._spec.name} has no vectors of the model {model!r}.")
        return home

    @contextmanager
    def _forgetting_what_is_gone(self) -> Iterator[None]:
        try:
            yield
        except CollectionGoneError:
            self._known.forget()
            self._has_alias = False
            raise


def _batches(items: Sequence[T], size: int = BATCH) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _id_batches(ids: Iterable[int]) -> Iterator[Sequence[int]]:
    return _batches([checked_id(each) for each in ids])


def _as_filters(which: Iterable[int] | Filter) -> Iterable[Filter]:
    if isinstance(which, Filter):
        return [require_conditions(which)]
    return (Filter(must=(HasId(frozenset(batch)),)) for batch in _id_batches(which))


def _excluding(filter: Filter, ids: Iterable[int]) -> Filter:
    excluded = frozenset(checked_id(each) for each in ids)
    return Filter(filter.must, (*filter.must_not, HasId(excluded))) if excluded else filter
