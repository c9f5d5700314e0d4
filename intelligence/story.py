"""The whole story of one image: what it was, what was asked about it, what came of it, what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from entities.models import Entity
from entities.versions import VersionSummary, list_versions
from intelligence.models import STATUS_FIELDS, EntityJob, Face, ImageIntelligence, TaskPause
from intelligence.vocabulary import LIVE_JOB_STATUSES, JobStatus, ProcessingStatus, TaskType
from vectors import QdrantVectorStore, VectorStoreError, get_clip_store, get_dino_store, get_face_store

STORES: Mapping[str, Callable[[], QdrantVectorStore]] = {
    "clip": get_clip_store,
    "dino": get_dino_store,
    "face": get_face_store,
}


@dataclass(frozen=True)
class Vectors:
    """Of one collection: the md5 that each was made from, by its id."""

    md5s: Mapping[int, str | None]
    unreadable: str = ""
    """Why nothing is known, such as that another process has the embedded vectors open."""


@dataclass(frozen=True)
class Story:
    entity: Entity | None
    versions: list[VersionSummary]
    row: ImageIntelligence | None
    jobs: list[EntityJob]
    faces: list[Face]
    vectors: Mapping[str, Vectors]
    waits_for: str


def tell(entity_id: int) -> Story | None:
    """None where there never was such an entity."""
    entity = Entity.objects.filter(pk=entity_id).first()
    versions = list_versions(entity_id)
    if entity is None and not versions:
        return None
    row = ImageIntelligence.objects.filter(pk=entity_id).first()
    jobs = list(EntityJob.objects.filter(entity_id=entity_id).order_by("pk"))
    faces = list(Face.objects.filter(entity_id=entity_id).order_by("pk"))
    face_ids = [face.pk for face in faces]
    vectors = {
        name: _vectors(store, face_ids if name == "face" else [entity_id]) for name, store in STORES.items()
    }
    return Story(entity, versions, row, jobs, faces, vectors, _waits_for(entity, row, jobs))


def as_json(story: Story) -> dict[str, Any]:
    """Times in ISO 8601."""
    return {
        "entity": story.entity and _fields(story.entity, "id", "label", "type", "md5", "is_deleted"),
        "versions": [
            _fields(each, "version", "updated_date", "operation_type", "md5", "is_deleted")
            for each in story.versions
        ],
        "row": story.row and _fields(story.row, *ROW_FIELDS),
        "jobs": [_fields(job, *JOB_FIELDS) for job in story.jobs],
        "faces": [_fields(face, "id", "model", "confidence", "known_person_id") for face in story.faces],
        "vectors": {
            name: {"md5_by_id": {str(pk): md5 for pk, md5 in each.md5s.items()}, "error": each.unreadable}
            for name, each in story.vectors.items()
        },
        "waits_for": story.waits_for,
    }


ROW_FIELDS = (
    *("md5", "version", "priority", "processing_status", *STATUS_FIELDS.values()),
    *("face_count", "error_message", "created_at", "updated_at"),
)
JOB_FIELDS = (
    *("id", "task_type", "face_id", "status", "model", "md5", "job_id", "backend", "attempts"),
    *("error_message", "created_at", "started_at", "completed_at", "not_before"),
)


def _fields(item: object, *names: str) -> dict[str, Any]:
    values = {name: getattr(item, name) for name in names}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()
    }


def _vectors(store: Callable[[], QdrantVectorStore], ids: list[int]) -> Vectors:
    try:
        points = store().fetch_points(ids)
    except VectorStoreError as error:
        return Vectors({}, str(error))
    return Vectors({pk: _text(point.payload.get("md5")) for pk, point in sorted(points.items())})


def _text(value: object) -> str | None:
    return None if value is None else str(value)


# --- What it waits for ------------------------------------------------------------------------------------


def _waits_for(entity: Entity | None, row: ImageIntelligence | None, jobs: list[EntityJob]) -> str:
    if entity is None:
        return "Nothing: it was removed for good."
    if entity.is_deleted:
        return "Nothing: it is in the trash. Once restored, what is left of the work goes on."
    if entity.type != Entity.MediaType.IMAGE or entity.width is None:
        return "Nothing: it is no image whose pixels can be read."
    if row is None or row.md5 != entity.md5:
        return "That its present content is read from history; a sweep does it if no event did."
    return _waits_on_work(row, jobs)


def _waits_on_work(row: ImageIntelligence, jobs: list[EntityJob]) -> str:
    if row.processing_status == ProcessingStatus.COMPLETED:
        return "Nothing: all is done."
    if row.processing_status == ProcessingStatus.FAILED:
        return f"Somebody who looks at the reason and runs `retry --entity {row.pk}`: {row.error_message}"
    reasons = list(dict.fromkeys(_reasons(row, [job for job in jobs if job.md5 == row.md5])))
    return "; ".join(reasons) or "A sweep, which brings its row and its jobs together again."


def _reasons(row: ImageIntelligence, jobs: list[EntityJob]) -> Iterator[str]:
    pauses = {pause.task_type: pause for pause in TaskPause.objects.all()}
    for task, field in STATUS_FIELDS.items():
        live = [job for job in jobs if job.task_type == task and job.status in LIVE_JOB_STATUSES]
        if task in pauses and (getattr(row, field) == JobStatus.PENDING or live):
            by = pauses[task].paused_by
            yield f"{task} is paused{f' by {by}' if by else ''} since {pauses[task].paused_at:%Y-%m-%d %H:%M}"
        elif live:
            yield from (_of_job(job) for job in live)
        elif getattr(row, field) == JobStatus.PENDING:
            before = task is TaskType.FACE_EMBEDDING and row.face_detection_status != JobStatus.COMPLETED
            yield f"{task} waits for the detection of faces" if before else f"{task} waits for its turn"


def _of_job(job: EntityJob) -> str:
    name = job.task_type if job.face_id is None else f"{job.task_type} of face {job.face_id}"
    if job.status == JobStatus.IN_PROGRESS:
        return f"{name} is running"
    if job.status == JobStatus.QUEUED:
        return f"{name} is with {job.backend} compute, which has not begun it"
    if job.error_message and job.not_before and job.not_before > timezone.now():
        return f"{name} is tried again at {job.not_before:%H:%M:%S}, after: {job.error_message}"
    return f"{name} is about to be handed to compute"


# --- For people -------------------------------------------------------------------------------------------


def in_words(story: Story) -> Iterator[str]:
    if story.entity is not None:
        trash = ", in the trash" if story.entity.is_deleted else ""
        yield f"entity {story.entity.pk}: {story.entity.label or 'without a label'}{trash}"
    yield from _of_versions(story.versions)
    if story.row is not None:
        yield f"row: {story.row.processing_status}, of content {story.row.md5}, priority {story.row.priority}"
        yield from (f"    {task}: {getattr(story.row, field)}" for task, field in STATUS_FIELDS.items())
    yield from _of_jobs(story.jobs)
    yield f"faces: {', '.join(str(face.pk) for face in story.faces) or 'none'}"
    for name, vectors in story.vectors.items():
        held = ", ".join(f"{pk} (of {md5})" for pk, md5 in vectors.md5s.items())
        yield f"{name} vectors: {vectors.unreadable or held or 'none'}"
    yield f"waits for: {story.waits_for}"


def _of_versions(versions: list[VersionSummary]) -> Iterator[str]:
    yield "versions:"
    for each in versions:
        trash = ", in the trash" if each.is_deleted else ""
        yield f"    {each.version}: {each.updated_date:%F %T} {each.operation_type}, {each.md5}{trash}"


def _of_jobs(jobs: list[EntityJob]) -> Iterator[str]:
    yield "jobs:"
    for job in jobs:
        face = "" if job.face_id is None else f" of face {job.face_id}"
        ended = f", ended {job.completed_at:%F %T}" if job.completed_at else ""
        reason = f": {job.error_message}" if job.error_message else ""
        yield (
            f"    {job.pk}: {job.task_type}{face} by {job.model}: {job.status} "
            f"after {job.attempts} attempts, asked {job.created_at:%F %T}{ended}{reason}"
        )
