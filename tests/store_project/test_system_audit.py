"""The audit and its repair over HTTP, as clients know them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from entities.models import Entity
from intelligence import hints
from intelligence.models import VectorErrand
from tests.factories import make_face, make_intelligence, make_photo
from tests.populated import answer_errands
from tests.tokens import TokenService, bearer
from vectors import VectorPoint, get_clip_store

pytestmark = pytest.mark.django_db

ARRAYS = ("orphaned_files", "orphaned_faces", "orphaned_vectors", "orphaned_mqtt")
NOTHING: dict[str, object] = {**{name: [] for name in ARRAYS}, "numbers": {}, "not_looked_at": []}


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    answer_errands(monkeypatch, data_dir)


def aged(path: Path) -> Path:
    os.utime(path, (time.time() - 9 * 3600,) * 2)
    return path


@pytest.mark.parametrize("slash", ["", "/"])
def test_what_belongs_to_nothing_is_seen_and_cleared(
    service: TokenService, media_root: Path, slash: str
) -> None:
    admin = bearer(service.token(is_admin=True))
    photo = make_photo(1)
    assert admin.get(f"/system/audit{slash}").json() == NOTHING

    strange = media_root / "store" / "a.jpg"
    strange.write_bytes(b"strange")
    aged(strange)
    face = make_face(photo)
    type(face).objects.update(created_at=datetime(2020, 1, 1, tzinfo=UTC))
    get_clip_store().upsert([VectorPoint(10**9, np.ones(512, np.float32))], model="fake-clip-512")
    told = admin.get(f"/system/audit{slash}").json()
    assert told == {
        "orphaned_files": [{"file_path": "store/a.jpg", "absolute_path": str(strange)}],
        "orphaned_faces": [{"face_id": face.pk, "entity_id": photo.pk, "file_path": face.file_path}],
        "orphaned_vectors": [{"vector_id": 10**9, "collection_name": "clip_embeddings"}],
        "orphaned_mqtt": [],
        "numbers": {"orphaned_file": 1, "orphaned_face": 1, "orphaned_vector": 1},
        "not_looked_at": [],
    }

    cleared = admin.post(f"/system/clear-orphans{slash}").json()
    assert cleared == {"files_deleted": 1, "faces_deleted": 1, "vectors_deleted": 1, "mqtt_cleared": 0}
    assert not strange.exists()
    assert (media_root / str(photo.file_path)).exists()
    assert not VectorErrand.objects.exists()


def test_thumbnails_and_crops_of_living_entities_are_no_orphans(
    service: TokenService, media_root: Path
) -> None:
    """What the reference got wrong."""
    photo = make_photo(1)
    make_face(photo)
    make_intelligence(photo, face_count=1)
    admin = bearer(service.token(is_admin=True))
    assert admin.get(f"/entities/{photo.pk}/preview").status_code == 200
    files = [aged(path) for path in media_root.rglob("*.*") if path.is_file()]
    assert len(files) == 3
    assert admin.post("/system/clear-orphans").json()["files_deleted"] == 0
    assert all(path.exists() for path in files)


def test_what_is_missing_is_counted(service: TokenService, media_root: Path) -> None:
    photo = make_photo(1)
    make_intelligence(photo)
    (media_root / str(photo.file_path)).unlink()
    Entity.objects.update(updated_date=datetime(2020, 1, 1, tzinfo=UTC))
    told = bearer(service.token(is_admin=True)).get("/system/audit").json()["numbers"]
    assert told == {"missing_file": 1, "lost_job": 3}


def test_without_a_worker_it_says_so(service: TokenService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "send", lambda *_: None)
    monkeypatch.setattr("store_project.administration.TAKEN_SECONDS", 0.1)
    answer = bearer(service.token(is_admin=True)).get("/system/audit")
    assert answer.status_code == 503
    assert "none of its workers answers" in answer.json()["detail"]
