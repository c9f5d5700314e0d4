"""The moves of an image's row and of its jobs, each a compare-and-set.

Locks are always taken in one order: the entity, then its row, then its jobs and faces.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Greatest
from django.utils import timezone

from entities import tallies, trail
from entities.models import Entity
from intelligence import announce, hints
from intelligence.models import STATUS_FIELDS, EntityJob, Face, ImageIntelligence
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


def lock_entities(entity_ids: Iterable[int]) -> set[int]:
    """As `lock_entity`, in the one order that cannot deadlock; answers which there are."""
    entities = Entity.objects.select_for_update(no_key=True).filter(pk__in=list(entity_ids))
    return set(entities.order_by("pk").values_list("pk", flat=True))


def move_job(job: EntityJob, status: JobStatus, **changes: object) -> bool:
    """False if the job was not live any more: then somebody else has ended it, and nothing is changed."""
    return bool(move_jobs([job], status, **changes))


@transaction.atomic
def move_jobs(jobs: Iterable[EntityJob], status: JobStatus, **changes: object) -> list[EntityJob]:
    """Those that were live, and the same: one that was put off and handed over again is another one by now.

    An end makes room: who moves a job to its end sees to it that more is handed out.
    """
    live = EntityJob.objects.live().filter(pk__in=[job.pk for job in jobs])
    ids = dict(live.select_for_update().order_by("pk").values_list("pk", "job_id"))
    moved = [job for job in jobs if ids.get(job.pk, "") == job.job_id]
    if not moved:
        return []
    if status not in LIVE_JOB_STATUSES:
        changes.setdefault("completed_at", timezone.now())
    EntityJob.objects.filter(pk__in=[job.pk for job in moved]).update(
        status=status, updated_at=timezone.now(), **changes
    )
    show_on_rows(moved, status)
    if status not in LIVE_JOB_STATUSES:
        transaction.on_commit(partial(_count_ended, Counter(job.task_type for job in moved), status))
    return moved


def _count_ended(of_tasks: Mapping[str, int], status: JobStatus) -> None:
    for task, number in of_tasks.items():
        tallies.add("job", task, status, number=number)


def show_on_rows(jobs: Iterable[EntityJob], status: JobStatus) -> None:
    """Shows the status of image tasks' jobs, and where they are queued their ids, on the rows that still
    describe the jobs' content.

    What is shown of face embeddings is of all faces together: `settle` sums it up.
    """
    tasks_of: dict[int, list[TaskType]] = defaultdict(list)
    shown = [job for job in jobs if job.task_type in IMAGE_TASKS and not job.background]
    for job in shown:
        tasks_of[job.entity_id].append(TaskType(job.task_type))
    described = EntityJob.objects.filter(pk__in=[job.pk for job in shown])
    for tasks, entity_ids in _grouped((frozenset(tasks), pk) for pk, tasks in tasks_of.items()).items():
        here = described.filter(entity_id=OuterRef("pk"), md5=OuterRef("md5"))
        changes: dict[str, object] = {STATUS_FIELDS[task]: status for task in tasks}
        if status == JobStatus.QUEUED:
            ids = {JOB_ID_FIELDS[task]: here.filter(task_type=task).values("job_id")[:1] for task in tasks}
            changes.update({field: Subquery(job_id) for field, job_id in ids.items()})
        ImageIntelligence.objects.filter(Exists(here), pk__in=_locked(entity_ids)).update(
            **changes, updated_at=timezone.now()
        )
    announce.entities({job.entity_id for job in jobs})


def _locked(entity_ids: Collection[int]) -> Collection[int]:
    """An UPDATE of several rows locks them in any order: two of them could deadlock."""
    if len(entity_ids) > 1:
        rows = ImageIntelligence.objects.select_for_update().filter(pk__in=entity_ids)
        list(rows.order_by("pk").values_list("pk", flat=True))
    return entity_ids


Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


def _grouped(pairs: Iterable[tuple[Key, Item]]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = defaultdict(list)
    for key, item in pairs:
        groups[key].append(item)
    return groups


@transaction.atomic
def fail_job(job: EntityJob, reason: str) -> bool:
    lock_entity(job.entity_id)  # of two jobs that end at once, the second must see the first
    if not move_job(job, JobStatus.FAILED, error_message=reason):
        return False
    transaction.on_commit(hints.dispatch)
    settle(job.entity_id)
    return True


def live_among(job_ids: Iterable[str]) -> set[str]:
    live = EntityJob.objects.live().filter(job_id__in=list(job_ids))
    return {job_id for job_id in live.values_list("job_id", flat=True) if job_id}


def discard_live_jobs(entity_ids: Iterable[int]) -> None:
    """Compute forgets them soon; what it finishes until then is not wanted any more."""
    now = timezone.now()
    live = EntityJob.objects.live().filter(entity_id__in=list(entity_ids))
    jobs = list(live.values_list("job_id", "task_type"))
    job_ids = [job_id for job_id, _ in jobs if job_id]
    if live.update(status=JobStatus.DISCARDED, updated_at=now, completed_at=now):
        transaction.on_commit(partial(_count_ended, Counter(task for _, task in jobs), JobStatus.DISCARDED))
        transaction.on_commit(hints.dispatch)
    transaction.on_commit(partial(hints.finish_jobs, job_ids))


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
    settle_all([entity_id])


@transaction.atomic
def settle_all(entity_ids: Iterable[int]) -> None:
    """Ends the rows all of whose tasks have ended for their content, face embeddings included; never before.

    Until then a row says whether anything is under way.
    """
    lock_entities(ids := list(entity_ids))
    settle_locked(ids)


def settle_locked(ids: Collection[int]) -> None:
    rows = list(ImageIntelligence.objects.filter(pk__in=ids, processing_status__in=UNFINISHED))
    jobs_of = _latest_jobs(rows)
    faces_of = _grouped(
        Face.objects.filter(entity_id__in=[row.pk for row in rows]).values_list("entity_id", "pk")
    )
    told = [(row, _summary(row, jobs_of[row.pk], faces_of.get(row.pk, []))) for row in rows]
    changed = _grouped((summary, row.pk) for row, summary in told if summary != _shown(row))
    for summary, pks in changed.items():
        ImageIntelligence.objects.filter(pk__in=_locked(pks)).update(
            **summary._asdict(), updated_at=timezone.now()
        )
        if summary.processing_status not in UNFINISHED:
            trail.note(summary.processing_status, pks)
    announce.entities(pk for pks in changed.values() for pk in pks)


class Summary(NamedTuple):
    """What a row says of all its tasks together."""

    processing_status: str
    face_embedding_status: str
    error_message: str


def _shown(row: ImageIntelligence) -> Summary:
    return Summary(row.processing_status, row.face_embedding_status, row.error_message)


def _summary(row: ImageIntelligence, jobs: Collection[EntityJob], face_ids: Collection[int]) -> Summary:
    faces = _status_of_faces(row, jobs, face_ids)
    if not _has_ended(row, faces):
        overall = ProcessingStatus.PROCESSING if _is_under_way(jobs) else ProcessingStatus.PENDING
        return Summary(overall, faces, "")
    failed = [job for job in jobs if job.status == JobStatus.FAILED]
    reasons = [f"{job.task_type}: {job.error_message}" for job in failed]
    overall = ProcessingStatus.FAILED if reasons else ProcessingStatus.COMPLETED
    return Summary(overall, faces, "\n".join(reasons))


def latest_jobs(row: ImageIntelligence) -> list[EntityJob]:
    """The newest job of each task, and of each face that is still there, for the row's content."""
    return _latest_jobs([row])[row.pk]


def _latest_jobs(rows: Iterable[ImageIntelligence]) -> dict[int, list[EntityJob]]:
    content = {row.pk: row.md5 for row in rows}
    newest: dict[int, dict[tuple[str, int | None], EntityJob]] = {pk: {} for pk in content}
    for job in EntityJob.objects.filter(entity_id__in=content, background=False).order_by("pk"):
        if job.md5 == content[job.entity_id]:
            newest[job.entity_id][job.task_type, job.face_id] = job
    return {pk: list(jobs.values()) for pk, jobs in newest.items()}


def _has_ended(row: ImageIntelligence, faces: str) -> bool:
    if any(getattr(row, STATUS_FIELDS[task]) not in ENDED for task in IMAGE_TASKS):
        return False
    return row.face_detection_status == JobStatus.FAILED or faces in ENDED


def _is_under_way(jobs: Iterable[EntityJob]) -> bool:
    live = {(job.status, job.task_type) for job in jobs if job.status in LIVE_JOB_STATUSES}
    if any(status in HANDED_OVER for status, _ in live):
        return True
    return not {task for _, task in live} <= paused_tasks() if live else False


def _status_of_faces(row: ImageIntelligence, jobs: Iterable[EntityJob], face_ids: Iterable[int]) -> str:
    """Of all together: that of the one that is furthest from its end."""
    unasked = row.face_embedding_status in (JobStatus.PENDING, JobStatus.DISCARDED)
    if unasked or row.face_detection_status != JobStatus.COMPLETED:
        return row.face_embedding_status
    asked = {job.face_id: job.status for job in jobs}
    statuses = [asked.get(face) for face in face_ids]
    if None in statuses:
        return JobStatus.PENDING
    if any(status in LIVE_JOB_STATUSES for status in statuses):
        return JobStatus.QUEUED
    bad = (each for each in (JobStatus.DISCARDED, JobStatus.FAILED) if each in statuses)
    return next(bad, JobStatus.COMPLETED)


@transaction.atomic
def claim_for_run(job_ids: Collection[str], *, images: int | None = None) -> list[list[str]]:
    """The queued ones among these jobs, by image, of so many or of all. Another worker that is sent the same
    ids claims none of these.
    """
    queued = EntityJob.objects.filter(job_id__in=job_ids, status=JobStatus.QUEUED)
    found = queued.select_for_update(skip_locked=True).order_by("pk")
    by_image = list(_grouped((job.entity_id, job) for job in found).values())[:images]
    jobs = [job for of_image in by_image for job in of_image]
    now = timezone.now()
    EntityJob.objects.filter(pk__in=[job.pk for job in jobs]).update(
        status=JobStatus.IN_PROGRESS, attempts=F("attempts") + 1, started_at=now, updated_at=now
    )
    show_on_rows(jobs, JobStatus.IN_PROGRESS)
    trail.note("started", {job.entity_id for job in jobs})
    return [[job.job_id or "" for job in of_image] for of_image in by_image]
