from __future__ import annotations

from typing import Any

from rest_framework import serializers

from entities.api.serializers import MillisecondsField, milliseconds
from entities.api.validation import WordBooleanField
from intelligence.models import EntityJob, Face, ImageIntelligence
from intelligence.vocabulary import LIVE_JOB_STATUSES, JobStatus, ProcessingStatus, TaskType

OVERALL_WORDS = {ProcessingStatus.PENDING: "queued"}
JOB_WORDS = {JobStatus.PENDING: "queued", JobStatus.IN_PROGRESS: "in_progress"}
TASK_WORDS = {
    JobStatus.QUEUED: "processing",
    JobStatus.IN_PROGRESS: "processing",
    JobStatus.DISCARDED: "pending",
}
"""Clients know pending, processing, completed and failed of a task."""


def overall_status(row: ImageIntelligence) -> str:
    return OVERALL_WORDS.get(ProcessingStatus(row.processing_status), row.processing_status)


def task_status(status: str) -> str:
    return TASK_WORDS.get(JobStatus(status), status)


class JobSerializer(serializers.Serializer[EntityJob]):
    """The keys of both generations of clients."""

    id = serializers.IntegerField()
    entity_id = serializers.IntegerField()
    image_id = serializers.IntegerField(source="entity_id")
    face_id = serializers.IntegerField(allow_null=True)
    job_id = serializers.SerializerMethodField()
    task_type = serializers.CharField()
    model = serializers.CharField()
    status = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()
    attempts = serializers.IntegerField()
    created_at = MillisecondsField()
    updated_at = MillisecondsField()
    started_at = serializers.SerializerMethodField()
    completed_at = MillisecondsField(allow_null=True)
    error_message = serializers.SerializerMethodField()

    def get_job_id(self, job: EntityJob) -> str:
        return job.job_id or str(job.idempotency_key)

    def get_status(self, job: EntityJob) -> str:
        return JOB_WORDS.get(JobStatus(job.status), job.status)

    def get_progress(self, job: EntityJob) -> int:
        return 100 if job.status == JobStatus.COMPLETED else 0

    def get_started_at(self, job: EntityJob) -> int:
        return milliseconds(job.started_at or job.created_at)

    def get_error_message(self, job: EntityJob) -> str | None:
        return job.error_message or None


class FaceSerializer(serializers.Serializer[Face]):
    id = serializers.IntegerField()
    entity_id = serializers.IntegerField()
    image_id = serializers.IntegerField(source="entity_id")
    known_person_id = serializers.IntegerField(allow_null=True)
    bbox = serializers.DictField(child=serializers.FloatField(), help_text="x1, y1, x2, y2, each 0..1.")
    confidence = serializers.FloatField()
    quality = serializers.FloatField()
    landmarks = serializers.DictField(child=serializers.ListField(child=serializers.FloatField()))
    file_path = serializers.CharField(help_text="The aligned crop, relative to the media folder.")
    model = serializers.CharField()
    created_at = MillisecondsField()


class InferenceStatusSerializer(serializers.Serializer[Any]):
    face_detection = serializers.CharField()
    clip_embedding = serializers.CharField()
    dino_embedding = serializers.CharField()
    hls_streaming = serializers.CharField()
    face_embeddings = serializers.ListField(child=serializers.CharField(), allow_null=True)


class IntelligenceDataSerializer(serializers.Serializer[ImageIntelligence]):
    """Expects `entity.jobs` to be prefetched."""

    overall_status = serializers.CharField()
    last_processed_md5 = serializers.CharField(allow_null=True)
    last_processed_version = serializers.IntegerField(allow_null=True)
    face_count = serializers.IntegerField(allow_null=True)
    active_processing_md5 = serializers.CharField(allow_null=True)
    active_jobs = JobSerializer(many=True)
    job_history = JobSerializer(many=True)
    inference_status = InferenceStatusSerializer()
    last_updated = MillisecondsField()
    error_message = serializers.CharField(allow_null=True)

    def to_representation(self, row: ImageIntelligence) -> dict[str, Any]:
        jobs = sorted(row.entity.jobs.all(), key=lambda job: job.pk)
        live = [job for job in jobs if job.status in LIVE_JOB_STATUSES]
        ended = [job for job in jobs if job.status not in LIVE_JOB_STATUSES]
        done = row.processing_status == ProcessingStatus.COMPLETED
        return {
            "overall_status": overall_status(row),
            "last_processed_md5": row.md5 if done else None,
            "last_processed_version": row.version if done else None,
            "face_count": row.face_count,
            "active_processing_md5": row.md5,
            "active_jobs": JobSerializer(live, many=True).data,
            "job_history": JobSerializer(ended, many=True).data,
            "inference_status": _inference_status(row, jobs),
            "last_updated": milliseconds(row.updated_at),
            "error_message": row.error_message or None,
        }


def _inference_status(row: ImageIntelligence, jobs: list[EntityJob]) -> dict[str, Any]:
    of_faces = {
        job.face_id: task_status(job.status)
        for job in jobs
        if job.task_type == TaskType.FACE_EMBEDDING and job.md5 == row.md5
    }
    return {
        "face_detection": task_status(row.face_detection_status),
        "clip_embedding": task_status(row.clip_status),
        "dino_embedding": task_status(row.dino_status),
        "hls_streaming": "pending",  # streams are made on demand and are no part of the overall status
        "face_embeddings": list(of_faces.values()) or None,
    }


class SimilarQuerySerializer(serializers.Serializer[Any]):
    space = serializers.ChoiceField(choices=["clip", "dino"], default="clip")
    limit = serializers.IntegerField(min_value=1, max_value=50, default=5)
    score_threshold = serializers.FloatField(min_value=0, max_value=1, required=False)
    include_details = WordBooleanField(default=False)
