"""A part of benchmarks/sweeps_at_scale.py: a store most of whose images have been looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import rows
from benchmarks.rows import Table

HANDED_OUT = 1000
"""No more than these are, of those that wait: the others' files nobody opens."""

MODELS = {
    "face_detection": "fake-faces",
    "clip_embedding": "fake-clip-512",
    "dino_embedding": "fake-dino-384",
    "face_embedding": "fake-face-512",
}
_ENDED = "strftime('%Y-%m-%d %H:%M:%S.000000', 1600000000 + i * 60, 'unixepoch')"
_HAS_FACE = "i % 3 = 1"
_FACE: Mapping[str, str] = {
    "id": "i",
    "entity_id": "i",
    "bbox": "'[0.2, 0.2, 0.5, 0.6]'",
    "landmarks": "'{}'",
    "confidence": "0.9",
    "quality": "0.5",
    "file_path": "'faces/' || i / 1000 || '/' || i || '/1-0.png'",
    "model": f"'{MODELS['face_detection']}'",
    "standing": "'waiting'",
    "recognised_with": f"'{MODELS['face_embedding']}'",
    "recognised_at": _ENDED,
    "created_at": _ENDED,
}


def fill(store: Path, database_url: str | None, entities: int) -> None:
    """Of SQLite's file in the folder, or of PostgreSQL's database; both are migrated and empty."""
    tables, waiting_from = _tables(entities), _waiting_from(entities)
    if database_url is None:
        rows.fill(store / "store.db", tables, first=1, last=entities)
    else:
        rows.copy(database_url, tables, first=1, last=entities)
        rows.settle(database_url, last=entities)
    for name, _ in rows.files(waiting_from, min(waiting_from + HANDED_OUT, entities)):
        path = store / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _waiting_from(entities: int) -> int:
    return entities - max(entities // 10, HANDED_OUT) + 1


def _tables(entities: int) -> list[Table]:
    waits = f"i >= {_waiting_from(entities)}"
    image = {
        name: f"CASE WHEN {waits} THEN 'pending' ELSE 'completed' END" if name.endswith("_status") else value
        for name, value in rows.COMPLETED.items()
    }
    image["face_count"] = f"CASE WHEN {waits} THEN NULL ELSE {_HAS_FACE} END"
    described = f"NOT ({rows.IS_COLLECTION}) AND NOT ({waits})"
    return [
        *rows.of_store(image),
        Table("intelligence_face", _FACE, f"{described} AND {_HAS_FACE}"),
        *_jobs(described),
        Table("intelligence_entitysyncstate", _sync_state(entities), "i = 1"),
    ]


def _jobs(described: str) -> Iterator[Table]:
    for number, (task, model) in enumerate(MODELS.items()):
        of_face = task == "face_embedding"
        job = {
            "entity_id": "i",
            "face_id": "i" if of_face else "NULL",
            "task_type": f"'{task}'",
            "md5": "digest(i)",
            "model": f"'{model}'",
            "status": "'completed'",
            "idempotency_key": f"digest(i || '-{number}')",
            "job_id": f"digest(i || '-{number}')",
            "background": "false",
            "backend": "'fake'",
            "attempts": "1",
            "error_message": "''",
            **dict.fromkeys(("created_at", "updated_at", "started_at", "completed_at"), _ENDED),
        }
        yield Table("intelligence_entityjob", job, f"{described} AND {_HAS_FACE}" if of_face else described)


def _sync_state(entities: int) -> dict[str, str]:
    """All history is read."""
    return {
        "id": "1",
        "last_version": str(2 * entities),
        "horizon_version": "0",
        "horizon_transaction": "0",
        "swept_up_to": "0",
        "upkeep_swept_up_to": "0",
        "updated_at": _ENDED,
    }
