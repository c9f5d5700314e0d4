"""The stores of a process: one of each, over the engine that the settings name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytest_django import Settings

from tests.vectors.conftest import RunScript
from vectors import (
    CollectionSettings,
    DimensionMismatchError,
    VectorPoint,
    VectorsClosedError,
    VectorSettings,
    close_stores,
    get_clip_store,
    get_dino_store,
    get_face_store,
)
from vectors.collections import ModelCollection
from vectors.errors import InvalidVectorError


@pytest.fixture(autouse=True)
def chosen(settings: Settings, tmp_path: Path) -> VectorSettings:
    settings.VECTORS = chosen = VectorSettings(path=tmp_path / "chosen")
    return chosen


@pytest.fixture(autouse=True)
def _by_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app above chooses models by its database; here the alias alone does."""
    monkeypatch.setattr("vectors.stores._choose", None)
    monkeypatch.setattr("vectors.stores._measure", None)


def test_each_store_has_its_collection_and_dimension() -> None:
    for store, dimension in ((get_clip_store(), 512), (get_dino_store(), 384), (get_face_store(), 512)):
        store.upsert([VectorPoint(dimension, np.ones(dimension, dtype=np.float32))], model="m")
        assert store.models() == {"m": dimension}
        assert [each.id for each in store.scroll()] == [dimension]


def test_names_and_dimensions_are_configurable(settings: Settings, chosen: VectorSettings) -> None:
    named = {**chosen.collections, "clip": CollectionSettings("mine", 3)}
    settings.VECTORS = replace(chosen, collections=named)
    with pytest.raises(DimensionMismatchError, match="mine__m__3 has 3"):
        get_clip_store().upsert([VectorPoint(1, np.ones(512, dtype=np.float32))], model="m")


def test_a_process_has_one_of_each() -> None:
    with ThreadPoolExecutor(16) as pool:
        stores = list(pool.map(lambda _: get_clip_store(), range(64)))
    assert len(set(map(id, stores))) == 1
    assert get_dino_store()._engine is get_clip_store()._engine


def test_closing_ends_the_old_stores_and_makes_way_for_new_ones() -> None:
    old = get_clip_store()
    old.upsert([VectorPoint(1, np.ones(512, dtype=np.float32))], model="m")
    close_stores()
    close_stores()
    with pytest.raises(VectorsClosedError):
        old.count()
    assert get_clip_store().count() == 1


@pytest.mark.parametrize(
    ("url", "loaded", "absent"),
    [("", "qdrant_edge", "qdrant_client"), ("http://qdrant", "qdrant_client", "qdrant_edge")],
)
def test_only_the_library_of_the_engine_in_use_is_loaded(
    run_script: RunScript, url: str, loaded: str, absent: str
) -> None:
    done = run_script(
        "import sys\n"
        "for name in [n for n in sys.modules if n.startswith(('qdrant', 'vectors'))]: del sys.modules[name]\n"
        "from django.conf import settings\n"
        "import vectors\n"
        f"settings.configure(VECTORS=vectors.VectorSettings(FOLDER, url={url!r}))\n"
        "assert not any(name.startswith('qdrant') for name in sys.modules)\n"
        "vectors.get_clip_store()\n"
        f"assert {loaded!r} in sys.modules\n"
        f"assert {absent!r} not in sys.modules\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("model", ["m", "a/b", "a__5", "_a_", "ViT-B-32__openai", "é=2F", "=", "a b:*?"])
def test_the_name_of_a_collection_tells_its_model(model: str) -> None:
    made = ModelCollection("clip_embeddings", model, 512)
    assert ModelCollection.parse("clip_embeddings", made.physical_name) == made
    assert made.physical_name.startswith("clip_embeddings__")
    assert made.physical_name.isascii()
    assert not set(made.physical_name) & set('<>:"/\\|?* ')


@pytest.mark.parametrize("model", ["", "x" * 200, "é" * 60])
def test_a_model_without_a_usable_name_is_refused(model: str) -> None:
    with pytest.raises(InvalidVectorError, match="for the name of a model"):
        _ = ModelCollection("clip_embeddings", model, 512).physical_name


@pytest.mark.parametrize("name", ["", "a__b", "_a", "a_", "a/b", "a b"])
def test_names_of_collections_that_could_be_confused_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a collection"):
        CollectionSettings(name, 512)


def test_two_kinds_cannot_share_a_collection(chosen: VectorSettings) -> None:
    shared = {**chosen.collections, "dino": chosen.collections["clip"]}
    with pytest.raises(ValueError, match="name of its own"):
        replace(chosen, collections=shared)
