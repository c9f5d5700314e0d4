"""Rows and files for tests, each as small as it can be."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django.utils import timezone
from PIL import Image

from entities import services
from entities.models import Entity
from entities.storage import EntityStorageService
from intelligence.models import (
    EntityJob,
    Face,
    ImageIntelligence,
    KnownPerson,
)
from intelligence.vocabulary import LIVE_JOB_STATUSES, JobStatus, ProcessingStatus, TaskType
from tests import pictures

jpeg = pictures.jpeg

LANDMARKS = ("right_eye", "left_eye", "nose_tip", "mouth_right", "mouth_left")


def store(content: bytes, **fields: Any) -> services.StoredEntity:
    storage = EntityStorageService.from_settings()
    with storage.receive([content]) as incoming:
        return services.create_entity(storage=storage, incoming=incoming, **fields)


def make_photo(seed: int = 0, **fields: Any) -> Entity:
    return store(jpeg(seed), **fields).entity


def make_collection(label: str = "a collection", **fields: Any) -> Entity:
    return services.create_collection(label=label, **fields)


def make_intelligence(entity: Entity, **fields: Any) -> ImageIntelligence:
    """Of an image that is through, without faces."""
    status = fields.pop("status", JobStatus.COMPLETED)
    usual = {
        "md5": entity.md5,
        "version": entity.history.latest().history_id,
        "image_path": entity.file_path,
        "processing_status": ProcessingStatus.COMPLETED,
        "face_detection_status": status,
        "clip_status": status,
        "dino_status": status,
        "face_embedding_status": status,
        "face_count": 0,
    }
    return ImageIntelligence.objects.create(entity=entity, **{**usual, **fields})


def make_job(entity: Entity, task: TaskType, status: JobStatus, **fields: Any) -> EntityJob:
    ended = None if status in LIVE_JOB_STATUSES else timezone.now()
    usual = {"md5": entity.md5, "model": "model", "backend": "fake", "completed_at": ended}
    return EntityJob.objects.create(entity=entity, task_type=task, status=status, **{**usual, **fields})


def make_face(entity: Entity, **fields: Any) -> Face:
    """With its crop."""
    crop = Image.new("RGB", (8, 8))
    number = Face.objects.filter(entity=entity).count()
    file_path = str(PurePosixPath("faces", str(entity.pk), f"{number}.png"))
    path = EntityStorageService.from_settings().resolve(file_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    crop.save(path)
    usual = {
        "bbox": {"x1": 0.1, "y1": 0.2, "x2": 0.3, "y2": 0.4},
        "landmarks": {name: [0.2, 0.3] for name in LANDMARKS},
        "confidence": 0.9,
        "quality": 0.8,
        "file_path": file_path,
        "model": "detector",
        "assigned_by": Face.AssignedBy.AUTO if fields.get("known_person") else None,
    }
    return Face.objects.create(entity=entity, **{**usual, **fields})


def make_person(name: str | None = None, **fields: Any) -> KnownPerson:
    return KnownPerson.objects.create(name=name, **fields)
