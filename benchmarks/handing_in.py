"""What both halves of benchmarks/pipeline.py do: hand in photos, wait until all is done, and say so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks.figures import Target

OVERHEAD_TARGET = Target(15, of_ratio=False)
WARM_UP_PHOTOS = 12
PATIENCE_SECONDS = 300
UNFINISHED = """
    SELECT COUNT(*) FROM entities_entity e LEFT JOIN intelligence_imageintelligence i ON i.entity_id = e.id
    WHERE e.type = 'image' AND (i.processing_status IS NULL OR i.processing_status <> 'completed')
"""


def upload(http: httpx.Client, photo: Path) -> int:
    with photo.open("rb") as content:
        answer = http.post("/entities", data={"is_collection": "false"}, files={"media_file": content})
    answer.raise_for_status()
    entity_id: int = answer.json()["id"]
    return entity_id


def wait(condition: Callable[[], bool], *, pause: float = 0.25) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"Not ended within {PATIENCE_SECONDS} s.")
        time.sleep(pause)


def say(what: str) -> None:
    print(f"... {what}", flush=True)
