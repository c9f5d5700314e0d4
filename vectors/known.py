"""Which models have vectors: what the engine said a moment ago, so that not every search has to ask it."""

from __future__ import annotations

import time

from vectors.collections import ModelCollection
from vectors.engines.base import VectorEngine

KNOWN_SECONDS = 5.0


class KnownCollections:
    """An answer may be old: it may name a collection that is dropped by now. That is harmless, since the
    engine then says so; the name of a collection carries its model, so it never leads to another model's
    vectors. What an old answer lacks is asked for anew. Safe to use from several threads.
    """

    def __init__(self, engine: VectorEngine, collection: str, *, seconds: float = KNOWN_SECONDS) -> None:
        self._engine = engine
        self._collection = collection
        self._seconds = seconds
        self._known: dict[str, ModelCollection] = {}
        self._until = 0.0

    def now(self) -> list[ModelCollection]:
        """Asks; for what must reach every model."""
        parsed = (ModelCollection.parse(self._collection, name) for name in self._engine.collections())
        found = [each for each in parsed if each is not None]
        self._known, self._until = {each.model: each for each in found}, time.monotonic() + self._seconds
        return found

    def of_model(self, model: str) -> ModelCollection | None:
        known = self._known.get(model) if time.monotonic() < self._until else None
        return known or next((each for each in self.now() if each.model == model), None)

    def note(self, made: ModelCollection) -> None:
        if self._known.get(made.model) != made:
            self._known = {**self._known, made.model: made}

    def forget(self) -> None:
        self._until = 0.0
