"""What is known of an image, as clients see it: in full on its own route, in short on the entity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Prefetch, Q
from rest_framework import serializers

from entities.api.extensions import EntityExtension
from entities.api.serializers import MillisecondsField, milliseconds
from entities.models import Entity, EntityQuerySet
from intelligence.api.serializers import JobSerializer, as_json
from intelligence.models import EntityJob, ImageIntelligence
from intelligence.vocabulary import LIVE_JOB_STATUSES, JobStatus, ProcessingStatus, TaskType

OVERALL_WORDS = {ProcessingStatus.PENDING: "queued"}
TASK_WORDS = {
    JobStatus.QUEUED: "processing",
    JobStatus.IN_PROGRESS: "processing",
    JobStatus.DISCARDED: "pending",
}
"""Clients know pending, processing, completed and failed of a task."""


class InferenceStatusSerializer(serializers.Serializer[Any]):
    face_detection = serializers.CharField()
    clip_embedding = serializers.CharField()
    dino_embedding = serializers.CharField()
    hls_streaming = serializers.CharField()
    face_embeddings = serializers.ListField(child=serializers.CharField(), allow_null=True)


class IntelligenceDataSerializer(serializers.Serializer[Any]):
    """What is known of an image, and how far its processing is."""

    # For the schema; made by intelligence_data().

    overall_status = serializers.ChoiceField(choices=["queued", "processing", "completed", "failed"])
    last_processed_md5 = serializers.CharField(allow_null=True)
    last_processed_version = serializers.IntegerField(allow_null=True)
    face_count = serializers.IntegerField(allow_null=True)
    active_processing_md5 = serializers.CharField(allow_null=True)
    active_jobs = JobSerializer(many=True)
    job_history = JobSerializer(many=True, help_text="Empty where an entity carries this object.")
    inference_status = InferenceStatusSerializer()
    last_updated = MillisecondsField()
    error_message = serializers.CharField(allow_null=True)


DATA_OR_NULL = {"allOf": [{"$ref": "#/components/schemas/IntelligenceData"}], "nullable": True}
"""For the schema, which has IntelligenceData from the entities that carry it."""


def intelligence_data(row: ImageIntelligence, jobs: Iterable[EntityJob]) -> dict[str, Any]:
    """`jobs` by rising id, as many as shall be told. The row's entity is at hand."""
    jobs = list(jobs)
    done = row.processing_status == ProcessingStatus.COMPLETED
    live = [job for job in jobs if job.status in LIVE_JOB_STATUSES]
    ended = [job for job in jobs if job.status not in LIVE_JOB_STATUSES]
    return {
        "overall_status": overall_status(row),
        "last_processed_md5": row.md5 if done else None,
        "last_processed_version": row.version if done else None,
        "face_count": row.face_count,
        "active_processing_md5": row.md5,
        "active_jobs": as_json(JobSerializer(), live),
        "job_history": as_json(JobSerializer(), ended),
        "inference_status": {
            **task_statuses(row, jobs),
            "hls_streaming": "pending",  # streams are made on demand and are no part of the overall status
        },
        "last_updated": milliseconds(row.updated_at),
        "error_message": row.error_message or None,
    }


def overall_status(row: ImageIntelligence) -> str:
    if row.md5 != row.entity.md5:
        return "queued"  # the entity has new content that nobody has looked at yet
    return OVERALL_WORDS.get(ProcessingStatus(row.processing_status), row.processing_status)


def task_statuses(row: ImageIntelligence, jobs: Iterable[EntityJob]) -> dict[str, Any]:
    return {
        "face_detection": task_status(row.face_detection_status),
        "clip_embedding": task_status(row.clip_status),
        "dino_embedding": task_status(row.dino_status),
        "face_embeddings": _face_statuses(row, jobs) or None,
    }


def task_status(status: str) -> str:
    return TASK_WORDS.get(JobStatus(status), status)


def _face_statuses(row: ImageIntelligence, jobs: Iterable[EntityJob]) -> list[str]:
    """One a face, from its newest job."""
    if row.processing_status == ProcessingStatus.COMPLETED:
        return [JobStatus.COMPLETED] * (row.face_count or 0)
    newest = {job.face_id: job.status for job in jobs if _is_of_a_face(job) and job.md5 == row.md5}
    unasked = (row.face_count or 0) - len(newest)
    return [*map(task_status, newest.values()), *[JobStatus.PENDING.value] * unasked]


def _is_of_a_face(job: EntityJob) -> bool:
    return job.task_type == TaskType.FACE_EMBEDDING and not job.background


# --- On the entity ---


def _with_intelligence(entities: EntityQuerySet) -> EntityQuerySet:
    """One query more, however many entities; of images that are through it fetches nothing."""
    needed = Q(status__in=LIVE_JOB_STATUSES) | Q(task_type=TaskType.FACE_EMBEDDING)
    of_unfinished = (
        EntityJob.objects.filter(needed, md5=F("entity__intelligence__md5"))
        .exclude(entity__intelligence__processing_status=ProcessingStatus.COMPLETED)
        .order_by("pk")
    )
    jobs = Prefetch("jobs", queryset=of_unfinished, to_attr="unfinished_jobs")
    return entities.select_related("intelligence").prefetch_related(jobs)


NOTHING_YET = {"intelligence_status": None, "intelligence_data": None}


def _values(entity: Entity) -> dict[str, Any]:
    row: ImageIntelligence | None = getattr(entity, "intelligence", None)
    if row is None:
        return NOTHING_YET
    unfinished: list[EntityJob] = entity.unfinished_jobs  # type: ignore[attr-defined]  # by the prefetch
    data = intelligence_data(row, unfinished)
    # A history grows without end; it is told on the routes of the one image.
    return {
        "intelligence_status": data["overall_status"],
        "intelligence_data": {**data, "job_history": []},
    }


ENTITY_EXTENSION = EntityExtension(
    fields={
        "intelligence_status": serializers.CharField(allow_null=True),
        "intelligence_data": IntelligenceDataSerializer(allow_null=True),
    },
    prefetch=_with_intelligence,
    values=_values,
    of_new=NOTHING_YET,
)
