"""Vectors as files, for a backup: a line of JSON for each. Without a copy they are made anew."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from entities.audit.findings import batched
from vectors import QdrantVectorStore, VectorPoint, get_clip_store, get_dino_store, get_face_store

if TYPE_CHECKING:  # processing is what errands are given
    from intelligence.processing import IntelligenceProcessingService

BATCH_SIZE = 500


def stores() -> dict[str, QdrantVectorStore]:
    return {store.name: store for store in (get_clip_store(), get_dino_store(), get_face_store())}


def write(_processing: IntelligenceProcessingService, arguments: Mapping[str, Any]) -> int:
    """Into a folder of this machine; answers how many. What changes meanwhile is or is not in it."""
    folder = Path(arguments["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for name, store in stores().items():
        for count, model in enumerate(sorted(store.models())):
            with (folder / f"{name}-{count}.jsonl").open("w") as file:
                file.write(json.dumps({"collection": name, "model": model}) + "\n")
                for line in _lines(store, model):
                    file.write(line + "\n")
                    number += 1
    return number


def _lines(store: QdrantVectorStore, model: str) -> Iterator[str]:
    for ids in batched(store.ids(after=-1, last=None, model=model), BATCH_SIZE):
        for pk, point in store.fetch_points(ids, model=model).items():
            vector = base64.b64encode(np.asarray(point.vector, dtype="<f4").tobytes()).decode()
            yield json.dumps({"id": pk, "vector": vector, "payload": dict(point.payload)})


def read(folder: Path) -> int:
    """Puts them into the stores; a repeat does no harm."""
    number = 0
    for path in sorted(folder.glob("*.jsonl")):
        with path.open() as file:
            told = json.loads(file.readline())
            points = (_point(json.loads(line)) for line in file)
            for batch in batched(points, BATCH_SIZE):
                stores()[told["collection"]].upsert(batch, model=told["model"])
                number += len(batch)
    return number


def forget_all() -> None:
    """Before another store's rows come: its ids mean other images."""
    for store in stores().values():
        for model in store.models():
            for ids in batched(store.ids(after=-1, last=None, model=model), BATCH_SIZE):
                store.delete(ids)


def _point(said: Mapping[str, Any]) -> VectorPoint:
    vector = np.frombuffer(base64.b64decode(said["vector"]), dtype="<f4")
    return VectorPoint(int(said["id"]), vector, said["payload"])
