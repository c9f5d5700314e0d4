"""Handing work to compute: rows are claimed, jobs written down, then submitted; in that order."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from entities import locks
from entities.storage import EntityStorageService
from intelligence import announce, rows
from intelligence.compute.base import ComputeClient, ComputeError
from intelligence.models import EntityJob, Face, ImageIntelligence
from intelligence.vocabulary import IMAGE_TASKS, LIVE_JOB_STATUSES, JobStatus, ProcessingStatus, TaskType

DISPATCH_LOCK = "intelligence.dispatch"
BATCH_SIZE = 16
"""Rows claimed at once: small, so that the first image is under way while the rest are written down."""

BACKOFF_SECONDS = (5, 30, 120, 600)


@dataclass(frozen=True)
class JobSubmissionStatus:
    """The jobs that an image has now; a task that could not be submitted has none, and its reason."""

    face_detection_job_id: str | None = None
    clip_job_id: str | None = None
    dino_job_id: str | None = None
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JobSubmissionService:
    client: ComputeClient
    storage: EntityStorageService
    max_outstanding: int
    max_attempts: int

    def dispatch(self) -> int:
        """Claims pending rows while there is room and submits what they lack; returns how many it claimed."""
        number = 0
        while claimed := self._claim():
            number += len(claimed)
            for entity_id in claimed:
                self.trigger_async_jobs(entity_id)
        return number

    def trigger_async_jobs(self, entity_id: int) -> JobSubmissionStatus | None:
        """Submits the image's jobs that wait for it; None if nothing could be submitted."""
        waiting = list(EntityJob.objects.filter(_due(), entity_id=entity_id).select_related("face"))
        errors = self.submit(waiting)
        row = ImageIntelligence.objects.filter(pk=entity_id).first()
        if row is None or len(errors) == len(waiting):
            rows.settle(entity_id)
            return None
        return JobSubmissionStatus(row.face_detection_job_id, row.clip_job_id, row.dino_job_id, errors)

    def submit(self, jobs: Iterable[EntityJob]) -> dict[str, str]:
        """Hands pending jobs over; returns what went wrong, by task. Started only once their ids are kept."""
        submitted, errors = [], {}
        for job in jobs:
            try:
                submitted.append(self._submit_one(job))
            except ComputeError as error:
                errors[job.task_type] = str(error)
                self.put_off(job, str(error), permanent=error.permanent)
        self.client.start([job_id for job_id in submitted if job_id])
        return errors

    def _submit_one(self, job: EntityJob) -> str | None:
        job_id = self.client.submit(
            TaskType(job.task_type), self._image_of(job), {}, str(job.idempotency_key)
        )
        kept = EntityJob.objects.filter(pk=job.pk, status=JobStatus.PENDING).update(
            status=JobStatus.QUEUED, job_id=job_id, backend=self.client.backend, updated_at=timezone.now()
        )
        if not kept:  # discarded meanwhile
            self.client.cancel(job_id)
            return None
        if TaskType(job.task_type) in rows.JOB_ID_FIELDS:
            changes = {rows.JOB_ID_FIELDS[TaskType(job.task_type)]: job_id}
            rows.show_on_row(job, JobStatus.QUEUED, **changes)
        announce.entities([job.entity_id])
        return job_id

    def _image_of(self, job: EntityJob) -> Path:
        try:
            path = self._file_of(job)
        except ValueError as error:
            raise ComputeError(str(error), permanent=True) from error
        if not path.exists():
            raise ComputeError("The file is missing from the media folder.", permanent=True)
        return path

    def _file_of(self, job: EntityJob) -> Path:
        if job.face is not None:
            return job.face.get_file_path(self.storage)
        row = ImageIntelligence.objects.filter(pk=job.entity_id, md5=job.md5).first()
        if row is None:
            raise ValueError("The image has other content by now.")
        return self.storage.resolve(row.image_path)

    def put_off(self, job: EntityJob, reason: str, *, permanent: bool = False) -> None:
        """Back to pending until a later time, or failed with the reason after the last attempt."""
        if permanent or job.attempts + 1 >= self.max_attempts:
            rows.fail_job(job, reason)
            return
        wait = BACKOFF_SECONDS[min(job.attempts, len(BACKOFF_SECONDS) - 1)] * random.uniform(1, 1.5)  # noqa: S311
        EntityJob.objects.live().filter(pk=job.pk).update(
            status=JobStatus.PENDING,
            job_id=None,
            attempts=job.attempts + 1,
            not_before=timezone.now() + timedelta(seconds=wait),
            error_message=reason,
            updated_at=timezone.now(),
        )
        announce.entities([job.entity_id])

    def ask_for_face_embeddings(self, faces: Sequence[Face], md5: str) -> list[EntityJob]:
        """Writes the jobs down; `submit` them after the commit."""
        return EntityJob.objects.bulk_create(
            self._new_job(face.entity_id, TaskType.FACE_EMBEDDING, md5, face) for face in faces
        )

    def model_of(self, task: TaskType) -> str:
        return self.client.capabilities().models[task].name

    @transaction.atomic
    def _claim(self) -> list[int]:
        locks.hold(DISPATCH_LOCK)
        room = (self.max_outstanding - EntityJob.objects.live().count()) // len(IMAGE_TASKS)
        if room <= 0:
            return []
        pending = ImageIntelligence.objects.filter(processing_status=ProcessingStatus.PENDING)
        if connection.features.has_select_for_update_skip_locked:
            pending = pending.select_for_update(skip_locked=True)
        claimed = list(pending.order_by("-priority", "pk")[: min(room, BATCH_SIZE)])
        ImageIntelligence.objects.filter(pk__in=[row.pk for row in claimed]).update(
            processing_status=ProcessingStatus.PROCESSING, updated_at=timezone.now()
        )
        self._write_missing_jobs(claimed)
        announce.entities(row.pk for row in claimed)
        return [row.pk for row in claimed]

    def _write_missing_jobs(self, claimed: list[ImageIntelligence]) -> None:
        """Asking twice for the same task, content and model is a no-op."""
        entity_ids = [row.pk for row in claimed]
        md5s = {row.pk: row.md5 for row in claimed}
        standing = _standing_jobs(entity_ids)
        wanted = [self._new_job(pk, task, md5s[pk]) for pk in entity_ids for task in IMAGE_TASKS]
        wanted += [
            self._new_job(face.entity_id, TaskType.FACE_EMBEDDING, md5s[face.entity_id], face)
            for face in Face.objects.filter(entity_id__in=entity_ids)
        ]
        EntityJob.objects.bulk_create(job for job in wanted if _identity(job) not in standing)

    def _new_job(self, entity_id: int, task: TaskType, md5: str, face: Face | None = None) -> EntityJob:
        return EntityJob(
            entity_id=entity_id,
            face=face,
            task_type=task,
            md5=md5,
            model=self.model_of(task),
            backend=self.client.backend,
        )


JobIdentity = tuple[int, int | None, str, str, str]


def _identity(job: EntityJob) -> JobIdentity:
    return job.entity_id, job.face_id, job.task_type, job.md5, job.model


def _standing_jobs(entity_ids: list[int]) -> set[JobIdentity]:
    jobs = EntityJob.objects.filter(entity_id__in=entity_ids)
    return {_identity(job) for job in jobs.filter(status__in=(*LIVE_JOB_STATUSES, JobStatus.COMPLETED))}


def _due() -> Q:
    return Q(status=JobStatus.PENDING) & (Q(not_before__isnull=True) | Q(not_before__lte=timezone.now()))
