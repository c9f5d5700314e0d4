"""The moves of an image's row and of its jobs, each a compare-and-set.

Locks are always taken in one order: the entity, then its row, then its jobs and faces.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import F
from django.utils import timezone

from entities.models import Entity
from intelligence import announce
from intelligence.models import EntityJob, ImageIntelligence
from intelligence.vocabulary import (
    IMAGE_TASKS,
    LIVE_JOB_STATUSES,
    JobStatus,
    ProcessingStatus,
    TaskType,
)

STATUS_FIELDS = {
    TaskType.FACE_DETECTION: "face_detection_status",
    TaskType.CLIP_EMBEDDING: "clip_status",
    TaskType.DINO_EMBEDDING: "dino_status",
}
JOB_ID_FIELDS = {
    TaskType.FACE_DETECTION: "face_detection_job_id",
    TaskType.CLIP_EMBEDDING: "clip_job_id",
    TaskType.DINO_EMBEDDING: "dino_job_id",
}


def lock_entity(entity_id: int) -> Entity | None:
    """Until the transaction ends nobody else changes the entity, applies a result to it or removes it."""
    return Entity.objects.select_for_update(no_key=True).filter(pk=entity_id).first()


def move_job(job: EntityJob, status: JobStatus, **changes: object) -> bool:
    """False if the job was not live any more: then somebody else has ended it, and nothing is changed."""
    if status not in LIVE_JOB_STATUSES:
        changes.setdefault("completed_at", timezone.now())
    moved = EntityJob.objects.filter(pk=job.pk, status__in=LIVE_JOB_STATUSES).update(
        status=status, updated_at=timezone.now(), **changes
    )
    if moved:
        show_on_row(job, status)
        announce.entities([job.entity_id])
    return bool(moved)


def show_on_row(job: EntityJob, status: JobStatus, **changes: object) -> None:
    """Shows an image task's status on the row, if the row still describes the job's content."""
    field = STATUS_FIELDS.get(TaskType(job.task_type))
    if field is not None:
        ImageIntelligence.objects.filter(pk=job.entity_id, md5=job.md5).update(
            **{field: status}, updated_at=timezone.now(), **changes
        )


def fail_job(job: EntityJob, reason: str) -> bool:
    if not move_job(job, JobStatus.FAILED, error_message=reason):
        return False
    settle(job.entity_id)
    return True


def discard_live_jobs(entity_ids: Iterable[int]) -> None:
    now = timezone.now()
    EntityJob.objects.live().filter(entity_id__in=list(entity_ids)).update(
        status=JobStatus.DISCARDED, updated_at=now, completed_at=now
    )


def discard_results(entity_ids: Iterable[int]) -> None:
    """Of content that went: no job of it stands any more, should the same content come back."""
    ids = list(entity_ids)
    discard_live_jobs(ids)
    EntityJob.objects.filter(entity_id__in=ids, status=JobStatus.COMPLETED).update(
        status=JobStatus.DISCARDED, updated_at=timezone.now()
    )


def make_pending(entity_ids: Iterable[int]) -> int:
    """Puts rows back into the queue; dispatch asks only for what they lack."""
    ids = list(entity_ids)
    moved = ImageIntelligence.objects.filter(pk__in=ids).update(
        processing_status=ProcessingStatus.PENDING, error_message="", updated_at=timezone.now()
    )
    announce.entities(ids)
    return moved


def settle(entity_id: int) -> None:
    """Ends the row once every task of its content has ended, face embeddings included; never before."""
    row = ImageIntelligence.objects.filter(
        pk=entity_id, processing_status=ProcessingStatus.PROCESSING
    ).first()
    if row is None:
        return
    jobs = latest_jobs(row)
    ended = {JobStatus.COMPLETED, JobStatus.FAILED}
    if not _all_asked_for(row, jobs) or any(job.status not in ended for job in jobs):
        return
    reasons = [f"{job.task_type}: {job.error_message}" for job in jobs if job.status == JobStatus.FAILED]
    ImageIntelligence.objects.filter(
        pk=row.pk, md5=row.md5, processing_status=ProcessingStatus.PROCESSING
    ).update(
        processing_status=ProcessingStatus.FAILED if reasons else ProcessingStatus.COMPLETED,
        error_message="\n".join(reasons),
        updated_at=timezone.now(),
    )
    announce.entities([entity_id])


def latest_jobs(row: ImageIntelligence) -> list[EntityJob]:
    """The newest job of each task, and of each face that is still there, for the row's content."""
    newest: dict[tuple[str, int | None], EntityJob] = {}
    for job in EntityJob.objects.current(row).order_by("pk"):
        newest[job.task_type, job.face_id] = job
    return list(newest.values())


def _all_asked_for(row: ImageIntelligence, jobs: list[EntityJob]) -> bool:
    asked = {TaskType(job.task_type) for job in jobs}
    faces_asked = {job.face_id for job in jobs if job.face_id is not None}
    return asked.issuperset(IMAGE_TASKS) and faces_asked.issuperset(
        row.entity.faces.values_list("pk", flat=True)
    )


def claim_for_run(job_ids: Iterable[str]) -> list[str]:
    """The queued ones among these jobs. Another worker that is sent the same ids claims none of them."""
    claimed = []
    now = timezone.now()
    for job in EntityJob.objects.filter(job_id__in=list(job_ids), status=JobStatus.QUEUED):
        won = EntityJob.objects.filter(pk=job.pk, status=JobStatus.QUEUED).update(
            status=JobStatus.IN_PROGRESS, attempts=F("attempts") + 1, started_at=now, updated_at=now
        )
        if won and job.job_id:
            show_on_row(job, JobStatus.IN_PROGRESS)
            announce.entities([job.entity_id])
            claimed.append(job.job_id)
    return claimed
