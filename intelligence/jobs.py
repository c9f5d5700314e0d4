"""Handing work to compute: rows are claimed, jobs written down, then submitted; in that order."""

from __future__ import annotations

import logging
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Case, CharField, Count, Exists, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from entities import locks, trail
from entities.storage import EntityStorageService
from intelligence import announce, hints, rows, runs
from intelligence.compute.base import (
    EMBED_FACES_WITH,
    ComputeClient,
    ComputeError,
    ComputeUnavailableError,
)
from intelligence.models import STATUS_FIELDS, EntityJob, Face, ImageIntelligence, waits_for
from intelligence.pauses import paused_tasks
from intelligence.vocabulary import JobStatus, ProcessingStatus, TaskType
from intelligence.wanted_models import WantedModels

logger = logging.getLogger(__name__)

DISPATCH_LOCK = "intelligence.dispatch"
BATCH_SIZE = 16
"""Rows claimed at once: small, so that the first image is under way while the rest are written down."""
MOST_AGAIN = BATCH_SIZE * len(TaskType)
LEASE_SECONDS = 60
"""For handing over one batch. Whoever takes longer does nothing wrong: the key makes a repeat harmless."""
UPLOAD_LEASE_SECONDS = settings.COMPUTE_UPLOAD_LEASE_SECONDS
"""For handing over one image to a service, which knows no keys."""

BACKOFF_SECONDS = (5, 30, 120, 600)
AWAY_SECONDS = 30
"""Before a service that did not answer is offered the job again; for as long as it takes."""


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
    models: WantedModels
    max_outstanding: int  # of each task
    max_attempts: int

    def dispatch(self) -> int:
        """Hands out what waits, the most urgent first, while there is room; answers how many claims it made
        of images.
        """
        number, is_more = 0, True
        while is_more:
            claimed, is_more = self._claim()
            number += len(claimed)
            self._hand_out(claimed)
        return number

    def trigger_async_jobs(self, entity_id: int) -> JobSubmissionStatus | None:
        """Asks for what this one image lacks, as far as there is room; None if nothing could be submitted."""
        claimed, _ = self._claim(entity_id)
        errors = self._hand_out(claimed)
        row = ImageIntelligence.objects.filter(pk=entity_id).first()
        if row is None or len(errors) == len(claimed.get(entity_id, [])):
            return None
        return JobSubmissionStatus(row.face_detection_job_id, row.clip_job_id, row.dino_job_id, errors)

    def _hand_out(self, claimed: Mapping[int, Sequence[EntityJob]]) -> dict[str, str]:
        if without := [entity_id for entity_id, jobs in claimed.items() if not jobs]:
            rows.settle_all(without)  # no face was left to look at
        return self.submit([job for jobs in claimed.values() for job in jobs])

    def submit(self, jobs: Iterable[EntityJob]) -> dict[str, str]:
        """Hands pending jobs over; returns what went wrong, by task. Started only once their ids are kept."""
        jobs = list(jobs)
        paths = _paths_of_images(jobs)
        faces_by = self._embeds_faces_with(jobs)
        handed: dict[EntityJob, str] = {}
        kept: list[EntityJob] = []
        errors: dict[str, str] = {}
        for job in jobs:
            try:
                job_id = self._hand_in(job, paths, faces_by)
            except ComputeUnavailableError as error:
                errors[job.task_type] = str(error)
                self.put_off(job, str(error), counts=False)
            except ComputeError as error:
                errors[job.task_type] = str(error)
                self.put_off(job, str(error), permanent=error.permanent)
            else:
                if job_id is not None:
                    handed[job] = job_id
                if handed and not self.client.runs_here:  # nobody else knows what a service was given
                    kept += self._keep_ids(handed)
                    handed = {}
        kept += self._keep_ids(handed)
        for job_ids in runs.together(kept):
            self.client.start(job_ids)
        return errors

    def _embeds_faces_with(self, jobs: Iterable[EntityJob]) -> dict[str, object]:
        """What a detection is asked for beside the faces, so that these need no jobs of their own later."""
        detects = any(job.task_type == TaskType.FACE_DETECTION for job in jobs)
        if not (detects and self.client.runs_here) or TaskType.FACE_EMBEDDING in paused_tasks():
            return {}
        return {EMBED_FACES_WITH: self.models.wanted()[TaskType.FACE_EMBEDDING][0]}

    def _hand_in(
        self, job: EntityJob, paths: Mapping[tuple[int, str], str], faces_by: Mapping[str, object]
    ) -> str | None:
        if not self.client.runs_here and not self._renew_lease(job):
            return None
        file = self._file_of(job, paths)
        task = TaskType(job.task_type)
        params = self.models.params(task, job.model)
        if task is TaskType.FACE_DETECTION:
            params.update(faces_by)
        return self.client.submit(task, file, params, str(job.idempotency_key))

    def _keep_ids(self, handed: Mapping[EntityJob, str]) -> list[EntityJob]:
        """Of those who submit the same job one wins; answers the jobs that this one has won."""
        if not handed:
            return []
        ids = [When(pk=job.pk, then=Value(job_id)) for job, job_id in handed.items()]
        try:
            with transaction.atomic():
                pending = EntityJob.objects.filter(
                    pk__in=[job.pk for job in handed], status=JobStatus.PENDING
                )
                won = set(pending.select_for_update().order_by("pk").values_list("pk", flat=True))
                kept = [job for job in handed if job.pk in won]
                pending.update(
                    status=JobStatus.QUEUED,
                    job_id=Case(*ids, output_field=CharField()),
                    not_before=None,
                    backend=self.client.backend,
                    updated_at=timezone.now(),
                )
                rows.show_on_rows(kept, JobStatus.QUEUED)
        except IntegrityError as error:
            return self._keep_each(handed, error)
        for job in kept:
            job.job_id = handed[job]
        for job, job_id in handed.items():  # discarded meanwhile, or handed over by somebody else
            if job.pk not in won and not EntityJob.objects.live().filter(job_id=job_id).exists():
                self._drop(job_id)
        return kept

    def _keep_each(self, handed: Mapping[EntityJob, str], error: IntegrityError) -> list[EntityJob]:
        """An id that another job has already: whose it is shows one by one."""
        if len(handed) > 1:
            return [kept for job, job_id in handed.items() for kept in self._keep_ids({job: job_id})]
        for job, job_id in handed.items():
            logger.warning("Compute gave the id %s of another job: %s", job_id, error)
            self.put_off(job, f"Compute gave the id {job_id} of another job.")
        return []

    def _renew_lease(self, job: EntityJob) -> bool:
        """An upload takes its time, and a service makes another job of each: so none begins under a lease
        that may have ended, and gone to somebody else.
        """
        held = EntityJob.objects.filter(pk=job.pk, status=JobStatus.PENDING, not_before=job.not_before)
        job.not_before = timezone.now() + timedelta(seconds=UPLOAD_LEASE_SECONDS)
        return bool(held.update(not_before=job.not_before))

    def _drop(self, job_id: str) -> None:
        if self.client.runs_here:
            self.client.cancel(job_id)
        else:
            hints.forget_job(job_id)

    def _file_of(self, job: EntityJob, paths: Mapping[tuple[int, str], str]) -> Path:
        try:
            if job.face is not None:
                path = job.face.get_file_path(self.storage)
            elif (job.entity_id, job.md5) in paths:
                path = self.storage.resolve(paths[job.entity_id, job.md5])
            else:
                raise ComputeError("The image has other content by now.", permanent=True)
        except ValueError as error:
            raise ComputeError(str(error), permanent=True) from error
        if not path.exists():
            raise ComputeError("The file is missing from the media folder.", permanent=True)
        return path

    def put_off(self, job: EntityJob, reason: str, *, permanent: bool = False, counts: bool = True) -> None:
        """Back to pending until a later time, or failed with the reason after the last attempt that counts.

        Not if the job was put off and submitted again meanwhile: then it is another one that is spoken of.
        """
        attempts = job.attempts + counts
        if permanent or attempts >= self.max_attempts:
            rows.fail_job(job, reason)
            return
        seconds = BACKOFF_SECONDS[min(job.attempts, len(BACKOFF_SECONDS) - 1)] if counts else AWAY_SECONDS
        wait = seconds * random.uniform(1, 1.5)  # noqa: S311
        rows.move_job(
            job,
            JobStatus.PENDING,
            job_id=None,
            attempts=attempts,
            started_at=None,
            not_before=timezone.now() + timedelta(seconds=wait),
            error_message=reason,
        )

    @transaction.atomic
    def _claim(self, entity_id: int | None = None) -> tuple[dict[int, list[EntityJob]], bool]:
        """Jobs that nobody else submits until their lease ends, by image; and whether there may be more."""
        locks.hold(DISPATCH_LOCK)
        paused = paused_tasks()
        tasks = [task for task in TaskType if task not in paused]
        claimed: dict[int, list[EntityJob]] = defaultdict(list)
        again = _due_again(tasks, entity_id)
        for job in again:
            claimed[job.entity_id].append(job)
        taken = self._take_rows(tasks, entity_id)
        self._show_as_taken(taken)
        for job in self._write_jobs(taken):
            claimed[job.entity_id].append(job)
        for row, _ in taken:
            claimed.setdefault(row.pk, [])
        announce.entities(claimed)
        trail.note("handed out", claimed)
        of_task = Counter(task for _, task in taken)
        is_more = len(again) == MOST_AGAIN or BATCH_SIZE in of_task.values()
        return dict(claimed), is_more

    def _take_rows(self, tasks: Iterable[TaskType], entity_id: int | None) -> list[Taken]:
        live = EntityJob.objects.live().filter(background=False).values_list("task_type")
        outstanding = dict(live.annotate(Count("pk")).order_by())
        taken: list[Taken] = []
        for task in tasks:
            room = min(self.max_outstanding - outstanding.get(task, 0), BATCH_SIZE)
            if room > 0:
                taken += [(row, task) for row in _take(task, room, entity_id)]
        return taken

    def _show_as_taken(self, taken: Iterable[Taken]) -> None:
        """An image task's status follows its job; of faces it says that all of them are asked for."""
        faces = {row.pk for row, task in taken if task is TaskType.FACE_EMBEDDING}
        for pks, changes in (
            ({row.pk for row, _ in taken} - faces, {}),
            (faces, {STATUS_FIELDS[TaskType.FACE_EMBEDDING]: JobStatus.QUEUED}),
        ):
            if pks:
                ImageIntelligence.objects.filter(pk__in=pks).update(
                    processing_status=ProcessingStatus.PROCESSING, updated_at=timezone.now(), **changes
                )

    def _write_jobs(self, taken: Iterable[Taken]) -> list[EntityJob]:
        rows_of_faces = {row.pk: row for row, task in taken if task is TaskType.FACE_EMBEDDING}
        faces = Face.objects.filter(entity_id__in=rows_of_faces) if rows_of_faces else ()
        wanted = [
            *((row, task, None) for row, task in taken if task is not TaskType.FACE_EMBEDDING),
            *((rows_of_faces[face.entity_id], TaskType.FACE_EMBEDDING, face) for face in faces),
        ]
        if not wanted:
            return []
        models = self.models.wanted()
        return EntityJob.objects.bulk_create(
            EntityJob(
                entity_id=row.pk,
                face=face,
                task_type=task,
                md5=row.md5,
                model=models[task][0],
                backend=self.client.backend,
                not_before=lease(),
            )
            for row, task, face in wanted
        )


class Waiting(NamedTuple):
    """Of an image's row, what its jobs are made of."""

    pk: int
    md5: str
    face_count: int | None


Taken = tuple[Waiting, TaskType]


def _paths_of_images(jobs: Iterable[EntityJob]) -> dict[tuple[int, str], str]:
    """By entity and content, so that no other content is taken for the job's."""
    described = ImageIntelligence.objects.filter(pk__in={job.entity_id for job in jobs if job.face is None})
    return {(pk, md5): path for pk, md5, path in described.values_list("pk", "md5", "image_path")}


def _due_again(tasks: Iterable[TaskType], entity_id: int | None) -> list[EntityJob]:
    """Written down before, and not handed over: put off, or left by a worker that died. They count among the
    outstanding already, so there is room for them.
    """
    due = EntityJob.objects.live().filter(
        Q(not_before__isnull=True) | Q(not_before__lte=timezone.now()),
        status=JobStatus.PENDING,
        task_type__in=list(tasks),
        **_of(entity_id),
    )
    found = list(
        due.select_for_update(skip_locked=True, of=("self",))
        .select_related("face")
        .order_by("pk")[:MOST_AGAIN]
    )
    if found:
        until = lease()
        EntityJob.objects.filter(pk__in=[job.pk for job in found]).update(
            not_before=until, updated_at=timezone.now()
        )
        for job in found:
            job.not_before = until
    return found


def waiting_rows(task: TaskType) -> QuerySet[ImageIntelligence]:
    """For which the task is to be asked for, the most urgent first."""
    # Also one in the background: should its model have become the leading one, there can be no second job.
    unasked = ~Exists(EntityJob.objects.live().filter(entity_id=OuterRef("pk"), task_type=task))
    return ImageIntelligence.objects.filter(waits_for(task), unasked).order_by("-priority", "pk")


def _take(task: TaskType, room: int, entity_id: int | None) -> list[Waiting]:
    """As many as there is room for; an image's faces are asked for together, and may overfill it once."""
    waiting = waiting_rows(task).filter(**_of(entity_id))
    locked = waiting.select_for_update(skip_locked=True, of=("self",))
    found = [Waiting(*fields) for fields in locked.values_list(*Waiting._fields)[:room]]
    if task is not TaskType.FACE_EMBEDDING:
        return found
    before = accumulate((row.face_count or 0 for row in found), initial=0)
    return [row for row, faces in zip(found, before, strict=False) if faces < room]


def _of(entity_id: int | None) -> dict[str, int]:
    return {} if entity_id is None else {"entity_id": entity_id}


def lease() -> datetime:
    return timezone.now() + timedelta(seconds=LEASE_SECONDS)
