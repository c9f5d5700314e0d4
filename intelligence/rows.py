"""The moves of an image's row and of its jobs, each a compare-and-set.

Locks are always taken in one order: the entity, then its row, then its jobs and faces.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from django.db import transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Greatest
from django.utils import timezone

from entities.models import Entity
from intelligence import announce, hints
from intelligence.models import STATUS_FIELDS, EntityJob, ImageIntelligence
from intelligence.pauses import paused_tasks
from intelligence.vocabulary import (
    HANDED_OVER,
    IMAGE_TASKS,
    LIVE_JOB_STATUSES,
    UNFINISHED,
    JobStatus,
    Priority,
    ProcessingStatus,
    TaskType,
)

JOB_ID_FIELDS = {
    TaskType.FACE_DETECTION: "face_detection_job_id",
    TaskType.CLIP_EMBEDDING: "clip_job_id",
    TaskType.DINO_EMBEDDING: "dino_job_id",
}
ENDED = (JobStatus.COMPLETED, JobStatus.FAILED)


def lock_entity(entity_id: int) -> Entity | None:
    """Until the transaction ends nobody else changes the entity, applies a result to it or removes it."""
    return Entity.objects.select_for_update(no_key=True).filter(pk=entity_id).first()


@transaction.atomic
def move_job(job: EntityJob, status: JobStatus, **changes: object) -> bool:
    """False if the job was not live any more, or is by now another one at compute: nothing is changed.

    An end makes room, so it asks for more to be handed out.
    """
    if status not in LIVE_JOB_STATUSES:
        changes.setdefault("completed_at", timezone.now())
        transaction.on_commit(hints.dispatch)
    moved = (
        EntityJob.objects.live()
        .filter(pk=job.pk, job_id=job.job_id)
        .update(status=status, updated_at=timezone.now(), **changes)
    )
    if moved:
        show_on_row(job, status)
        announce.entities([job.entity_id])
    return bool(moved)


def show_on_row(job: EntityJob, status: JobStatus, **changes: object) -> None:
    """Shows an image task's status on the row, if the row still describes the job's content.

    What is shown of face embeddings is of all faces together: `settle` sums it up.
    """
    if job.task_type in IMAGE_TASKS:
        field = STATUS_FIELDS[TaskType(job.task_type)]
        ImageIntelligence.objects.filter(pk=job.entity_id, md5=job.md5).update(
            **{field: status}, updated_at=timezone.now(), **changes
        )


@transaction.atomic
def fail_job(job: EntityJob, reason: str) -> bool:
    lock_entity(job.entity_id)  # of two jobs that end at once, the second must see the first
    if not move_job(job, JobStatus.FAILED, error_message=reason):
        return False
    settle(job.entity_id)
    return True


def discard_live_jobs(entity_ids: Iterable[int]) -> None:
    """Compute forgets them soon; what it finishes until then is not wanted any more."""
    now = timezone.now()
    live = EntityJob.objects.live().filter(entity_id__in=list(entity_ids))
    job_ids = [job_id for job_id in live.values_list("job_id", flat=True) if job_id]
    if live.update(status=JobStatus.DISCARDED, updated_at=now, completed_at=now):
        transaction.on_commit(hints.dispatch)
    for job_id in job_ids:
        transaction.on_commit(partial(hints.finish_job, job_id))


def discard_results(entity_ids: Iterable[int]) -> None:
    """Of content that went: no job of it stands any more, should the same content come back."""
    ids = list(entity_ids)
    discard_live_jobs(ids)
    EntityJob.objects.filter(entity_id__in=ids, status=JobStatus.COMPLETED).update(
        status=JobStatus.DISCARDED, updated_at=timezone.now()
    )


def stop(entity_ids: Iterable[int]) -> None:
    """In the trash: what is unfinished leaves the queue, and what is under way is not wanted any more."""
    stopped = list(entity_ids)
    discard_live_jobs(stopped)
    rows = ImageIntelligence.objects.filter(pk__in=stopped, processing_status__in=UNFINISHED)
    for field in STATUS_FIELDS.values():
        rows.filter(**{f"{field}__in": LIVE_JOB_STATUSES}).update(
            **{field: JobStatus.DISCARDED},
            processing_status=ProcessingStatus.PENDING,
            updated_at=timezone.now(),
        )


def resume(entity_ids: Iterable[int]) -> int:
    """Asks again for what was dropped; answers how many tasks that were."""
    resumed = list(entity_ids)
    return sum(
        make_pending(
            ImageIntelligence.objects.filter(pk__in=resumed, **{field: JobStatus.DISCARDED}).values_list(
                "pk", flat=True
            ),
            task,
        )
        for task, field in STATUS_FIELDS.items()
    )


def mirror_jobs(entity_id: int) -> None:
    """Brings a row that disagrees with its jobs back to what they say."""
    with transaction.atomic():
        lock_entity(entity_id)
        row = ImageIntelligence.objects.select_for_update().filter(pk=entity_id).first()
        if row is None:
            return
        newest = {job.task_type: job.status for job in latest_jobs(row)}
        for task in IMAGE_TASKS:
            told = newest.get(task, JobStatus.DISCARDED)
            if getattr(row, STATUS_FIELDS[task]) != JobStatus.PENDING:
                setattr(row, STATUS_FIELDS[task], JobStatus.PENDING if told == JobStatus.DISCARDED else told)
        row.processing_status = ProcessingStatus.PROCESSING
        row.save()
        settle(entity_id)
        announce.entities([entity_id])


def make_pending(entity_ids: Iterable[int], task: TaskType, priority: Priority = Priority.BACKFILL) -> int:
    """Puts the task (back) into the queue, whether or not it was done before: old results serve until then.

    Images that are unfinished keep their place if it is better.
    """
    wanted = list(entity_ids)
    if not wanted:
        return 0
    rows = ImageIntelligence.objects.filter(pk__in=wanted)
    unfinished = When(processing_status__in=UNFINISHED, then=Greatest(F("priority"), int(priority)))
    under_way = When(processing_status=ProcessingStatus.PROCESSING, then=F("processing_status"))
    moved = rows.update(
        **{STATUS_FIELDS[task]: JobStatus.PENDING},
        priority=Case(unfinished, default=Value(int(priority))),
        processing_status=Case(under_way, default=Value(ProcessingStatus.PENDING.value)),
        error_message="",
        updated_at=timezone.now(),
    )
    announce.entities(wanted)
    return moved


def settle(entity_id: int) -> None:
    """Ends the row once every task of its content has ended, face embeddings included; never before.

    Until then it says whether anything is under way.
    """
    row = ImageIntelligence.objects.filter(pk=entity_id, processing_status__in=UNFINISHED).first()
    if row is None:
        return
    jobs = latest_jobs(row)
    faces = _status_of_faces(row, jobs)
    if _has_ended(row, faces):
        failed = [job for job in jobs if job.status == JobStatus.FAILED]
        reasons = [f"{job.task_type}: {job.error_message}" for job in failed]
        overall = ProcessingStatus.FAILED if reasons else ProcessingStatus.COMPLETED
    else:
        reasons = []
        overall = ProcessingStatus.PROCESSING if _is_under_way(jobs) else ProcessingStatus.PENDING
    _show(row, overall, faces, "\n".join(reasons))


def _show(row: ImageIntelligence, overall: ProcessingStatus, faces: str, reasons: str) -> None:
    seen = {
        "processing_status": row.processing_status,
        "face_embedding_status": row.face_embedding_status,
        "error_message": row.error_message,
    }
    now = {"processing_status": overall, "face_embedding_status": faces, "error_message": reasons}
    if now != seen:
        ImageIntelligence.objects.filter(pk=row.pk, md5=row.md5, **seen).update(
            **now, updated_at=timezone.now()
        )
        announce.entities([row.pk])


def latest_jobs(row: ImageIntelligence) -> list[EntityJob]:
    """The newest job of each task, and of each face that is still there, for the row's content."""
    newest: dict[tuple[str, int | None], EntityJob] = {}
    for job in EntityJob.objects.current(row).order_by("pk"):
        newest[job.task_type, job.face_id] = job
    return list(newest.values())


def _has_ended(row: ImageIntelligence, faces: str) -> bool:
    if any(getattr(row, STATUS_FIELDS[task]) not in ENDED for task in IMAGE_TASKS):
        return False
    return row.face_detection_status == JobStatus.FAILED or faces in ENDED


def _is_under_way(jobs: Iterable[EntityJob]) -> bool:
    live = {(job.status, job.task_type) for job in jobs if job.status in LIVE_JOB_STATUSES}
    if any(status in HANDED_OVER for status, _ in live):
        return True
    return not {task for _, task in live} <= paused_tasks() if live else False


def _status_of_faces(row: ImageIntelligence, jobs: Iterable[EntityJob]) -> str:
    """Of all together: that of the one that is furthest from its end."""
    unasked = row.face_embedding_status in (JobStatus.PENDING, JobStatus.DISCARDED)
    if unasked or row.face_detection_status != JobStatus.COMPLETED:
        return row.face_embedding_status
    asked = {job.face_id: job.status for job in jobs}
    statuses = [asked.get(face) for face in row.entity.faces.values_list("pk", flat=True)]
    if None in statuses:
        return JobStatus.PENDING
    if any(status in LIVE_JOB_STATUSES for status in statuses):
        return JobStatus.QUEUED
    bad = (each for each in (JobStatus.DISCARDED, JobStatus.FAILED) if each in statuses)
    return next(bad, JobStatus.COMPLETED)


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
