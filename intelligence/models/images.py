"""What the store knows about each image, and how far it has read what happened to them.

These rows are the queue and the truth; the message broker only carries hints.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from entities.models import Entity
from intelligence.models.choices import choices
from intelligence.vocabulary import JobStatus, Priority, ProcessingStatus, TaskType

STATUS_FIELDS = {
    TaskType.FACE_DETECTION: "face_detection_status",
    TaskType.CLIP_EMBEDDING: "clip_status",
    TaskType.DINO_EMBEDDING: "dino_status",
    TaskType.FACE_EMBEDDING: "face_embedding_status",
}
"""Of an image's row. Pending, without a live job, means: to be asked for."""


class EntitySyncState(models.Model):
    """One row: up to which history id changes have been turned into work.

    A watermark for speed and for people to see; the truth is the state of the images.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    last_version = models.BigIntegerField(default=0)
    # PostgreSQL commits out of id order: the watermark moves to `horizon_version` only when every
    # transaction that was open when it was noted (ids below `horizon_transaction`) has ended.
    horizon_version = models.BigIntegerField(default=0)
    horizon_transaction = models.BigIntegerField(default=0)
    swept_up_to = models.BigIntegerField(
        default=0, help_text="Id of the entity at which the search for missing work goes on."
    )
    upkeep_swept_up_to = models.BigIntegerField(
        default=0, help_text="Id of the entity at which the comparison with its vectors goes on."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.CheckConstraint(name="one_sync_state", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"history read up to {self.last_version}"


class UpkeepMark(models.Model):
    """An entity has changed: what is kept of it beside its vectors, and of all below it, has to follow."""

    # No foreign key: what is removed for good leaves things to be followed as well.
    entity_id = models.BigIntegerField()

    def __str__(self) -> str:
        return f"entity {self.entity_id} has changed"


def waits_for(task: TaskType) -> Q:
    """Rows for which the task is to be asked for; faces are looked at once they have been found."""
    waiting = Q(**{STATUS_FIELDS[task]: JobStatus.PENDING})
    if task is TaskType.FACE_EMBEDDING:
        waiting &= Q(face_detection_status=JobStatus.COMPLETED)
    return waiting


class ImageIntelligence(models.Model):
    """One row an image: the content it describes, and how far each task has come for that content."""

    entity = models.OneToOneField(
        Entity, primary_key=True, on_delete=models.CASCADE, related_name="intelligence"
    )
    md5 = models.CharField(max_length=32)
    version = models.BigIntegerField(help_text="History id of the change that brought this content.")
    image_path = models.CharField(max_length=255)
    priority = models.SmallIntegerField(default=Priority.UPLOAD, help_text="Higher goes first.")

    processing_status = models.CharField(
        max_length=16, choices=choices(ProcessingStatus), default=ProcessingStatus.PENDING
    )
    face_detection_job_id = models.CharField(max_length=64, null=True, blank=True)
    clip_job_id = models.CharField(max_length=64, null=True, blank=True)
    dino_job_id = models.CharField(max_length=64, null=True, blank=True)
    face_detection_status = models.CharField(
        max_length=16, choices=choices(JobStatus), default=JobStatus.PENDING
    )
    clip_status = models.CharField(max_length=16, choices=choices(JobStatus), default=JobStatus.PENDING)
    dino_status = models.CharField(max_length=16, choices=choices(JobStatus), default=JobStatus.PENDING)
    face_embedding_status = models.CharField(
        max_length=16,
        choices=choices(JobStatus),
        default=JobStatus.PENDING,
        help_text="Of all its faces together.",
    )
    face_count = models.PositiveIntegerField(
        null=True, blank=True, help_text="0 is a result; null is none yet."
    )
    error_message = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "image intelligence"
        indexes = [
            # What dispatch reads, in its order.
            *(
                models.Index(F("priority").desc(), "entity", name=f"waits_{task}", condition=waits_for(task))
                for task in TaskType
            ),
            models.Index("processing_status", "updated_at", name="intelligence_status"),
        ]

    def __str__(self) -> str:
        return f"intelligence of entity {self.entity_id}"
