"""The stores of clip, dino and faces, one of each in a process, over whichever engine the settings name.

The engine's module is imported here and nowhere else, so that a process loads the library of the engine it
uses and not the other's.
"""

from __future__ import annotations

import atexit
import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from django.conf import settings
from django.utils.module_loading import import_string

from vectors.collections import COLLECTIONS, VectorKind
from vectors.engines.base import VectorEngine
from vectors.schemas import VectorSettings
from vectors.store import QdrantVectorStore

_lock = threading.Lock()
_choose: Callable[[VectorKind], str | None] | None = None
_measure: Callable[[VectorKind, str], int | None] | None = None


def choose_models_by(
    choose: Callable[[VectorKind], str | None], measure: Callable[[VectorKind, str], int | None]
) -> None:
    """Who says, for each kind and each time anew, which model's vectors are to be read, and how many
    dimensions those of a model have that is new here. It may say None.
    """
    global _choose, _measure
    _choose, _measure = choose, measure


def _chosen_model(kind: VectorKind) -> str | None:
    return None if _choose is None else _choose(kind)


def _dimension_of(kind: VectorKind, model: str) -> int | None:
    return None if _measure is None else _measure(kind, model)


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


def require_answer() -> None:
    """Raises VectorStoreError where the engine does not answer."""
    with _lock:
        engine = _engine()
    engine.collections()


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
    return {
        kind: QdrantVectorStore(
            _engine(), spec, functools.partial(_chosen_model, kind), functools.partial(_dimension_of, kind)
        )
        for kind, spec in specs.items()
    }


@functools.cache
def _engine() -> VectorEngine:
    chosen: VectorSettings = settings.VECTORS
    name = "server.ServerEngine" if chosen.url else "edge.EdgeEngine"
    engine: VectorEngine = import_string(f"vectors.engines.{name}").create(chosen)
    atexit.register(close_stores)
    return engine
