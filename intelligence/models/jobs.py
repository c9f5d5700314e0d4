"""Each job that was ever asked for, and which tasks are held back."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import F, Q

from entities.models import Entity
from intelligence.literals import literals
from intelligence.models.choices import choices
from intelligence.models.images import ImageIntelligence
from intelligence.vocabulary import LIVE_JOB_STATUSES, JobStatus, TaskType


class TaskPause(models.Model):
    """While the row is there, no further job of the task is handed to compute."""

    task_type = models.CharField(max_length=32, choices=choices(TaskType), primary_key=True)
    paused_by = models.CharField(max_length=255, null=True, blank=True)
    paused_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.task_type} is paused"


class EntityJobQuerySet(models.QuerySet["EntityJob"]):
    def live(self) -> Self:
        """Also beside a condition that asks for one of these: the index is for all of them together."""
        return self.filter(status__in=literals(LIVE_JOB_STATUSES))

    def current(self, row: ImageIntelligence) -> Self:
        """The jobs that describe the content the row describes."""
        return self.filter(entity_id=row.pk, md5=row.md5)


class EntityJob(models.Model):
    """Every job ever asked for. Written before it is submitted, so that a crash in between loses nothing."""

    entity = models.ForeignKey(Entity, on_delete=models.CASCADE, related_name="jobs")
    face = models.ForeignKey("Face", null=True, blank=True, on_delete=models.CASCADE, related_name="jobs")
    task_type = models.CharField(max_length=32, choices=choices(TaskType))
    md5 = models.CharField(max_length=32)
    model = models.CharField(max_length=255)
    status = models.CharField(max_length=16, choices=choices(JobStatus), default=JobStatus.PENDING)
    idempotency_key = models.UUIDField(default=uuid.uuid4, editable=False, unique=True)
    job_id = models.CharField(max_length=64, null=True, blank=True, unique=True)
    background = models.BooleanField(
        default=False, help_text="Of a model beside the leading one: the image's row says nothing of it."
    )
    backend = models.CharField(max_length=32)
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True, blank=True, help_text="No earlier attempt than this.")
    error_message = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    objects = EntityJobQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index("entity", "task_type", "md5", name="job_entity_task"),
            models.Index("status", "updated_at", name="job_live", condition=Q(status__in=LIVE_JOB_STATUSES)),
            models.Index("completed_at", name="job_ended", condition=Q(completed_at__isnull=False)),
            models.Index(F("id").desc(), name="job_failed", condition=Q(status=JobStatus.FAILED)),
        ]
        constraints = [
            models.UniqueConstraint(
                "entity",
                "task_type",
                "md5",
                "model",
                name="one_live_job_per_image_task",
                condition=Q(face__isnull=True, status__in=LIVE_JOB_STATUSES),
            ),
            models.UniqueConstraint(
                "face",
                "task_type",
                "md5",
                "model",
                name="one_live_job_per_face_task",
                condition=Q(face__isnull=False, status__in=LIVE_JOB_STATUSES),
            ),
            models.CheckConstraint(
                name="job_face_for_face_embedding",
                condition=Q(task_type=TaskType.FACE_EMBEDDING, face__isnull=False)
                | ~Q(task_type=TaskType.FACE_EMBEDDING) & Q(face__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task_type} of entity {self.entity_id} ({self.status})"
