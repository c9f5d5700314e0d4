"""What the store knows about its images, and the work that finds it out.

ImageIntelligence is the queue and the truth; the message broker only carries hints.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Protocol, Self

from django.db import models
from django.db.models import F, Q

from entities.models import Entity
from intelligence.literals import literals
from intelligence.people_models import KnownPerson
from intelligence.vocabulary import (
    LIVE_JOB_STATUSES,
    JobStatus,
    Priority,
    ProcessingStatus,
    TaskType,
)

STATUS_FIELDS = {
    TaskType.FACE_DETECTION: "face_detection_status",
    TaskType.CLIP_EMBEDDING: "clip_status",
    TaskType.DINO_EMBEDDING: "dino_status",
    TaskType.FACE_EMBEDDING: "face_embedding_status",
}
"""Of an image's row. Pending, without a live job, means: to be asked for."""


def choices(words: type[Any]) -> list[tuple[str, str]]:
    return [(word.value, word.value.replace("_", " ")) for word in words]


class FileStorage(Protocol):
    """As entities.storage.EntityStorageService."""

    def resolve(self, file_path: str) -> Path: ...


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


class DuplicateCandidate(models.Model):
    """An image that was compared with all others, and the group of near-duplicates that it is in."""

    # No foreign keys, as with marks: who keeps these up finds out what has gone.
    entity_id = models.BigIntegerField(primary_key=True)
    md5 = models.CharField(max_length=32)
    model = models.CharField(max_length=255)
    hidden = models.BooleanField()
    group = models.BigIntegerField(null=True, blank=True, help_text="Its smallest entity.")

    class Meta:
        indexes = [
            models.Index(
                "model", "group", "entity_id", name="duplicate_group", condition=Q(group__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"entity {self.entity_id} in group {self.group}"


class DuplicatePair(models.Model):
    """Two images that are copies of one, as far as the model of both can tell."""

    first = models.BigIntegerField(help_text="The smaller id.")
    second = models.BigIntegerField()
    score = models.FloatField(help_text="Cosine.")

    class Meta:
        indexes = [models.Index("second", name="duplicate_second")]
        constraints = [models.UniqueConstraint("first", "second", name="one_duplicate_pair")]

    def __str__(self) -> str:
        return f"entity {self.first} ~ entity {self.second}"


class SearchEncoding(models.Model):
    """What somebody searches for, on its way to a worker, and the vector on its way back.

    Rows of words stay for a while, under a hash of the words; those of pictures go with their request.
    """

    key = models.CharField(max_length=64, primary_key=True)
    space = models.CharField(max_length=8)
    text = models.TextField(blank=True, help_text="Until it is answered.")
    file_path = models.CharField(max_length=255, blank=True, help_text="Relative to the media folder.")
    model = models.CharField(max_length=255, blank=True)
    vector = models.BinaryField(null=True, help_text="Little-endian float32.")
    error = models.TextField(blank=True)
    is_permanent = models.BooleanField(default=False, help_text="Asking again would not help.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.space} of {'a picture' if self.file_path else 'words'}"


class TaskPause(models.Model):
    """While the row is there, no further job of the task is handed to compute."""

    task_type = models.CharField(max_length=32, choices=choices(TaskType), primary_key=True)
    paused_by = models.CharField(max_length=255, null=True, blank=True)
    paused_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.task_type} is paused"


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


class ModelVersion(models.Model):
    """A model whose vectors are kept. Of each task one is current: its vectors are read, in every process
    from the moment the row says so. Beside it one more may be wanted: images are looked at with both.
    """

    class State(models.TextChoices):
        CURRENT = "current"
        FILLING = "filling"
        """Beside the current one, to become current some day."""
        PREVIOUS = "previous"
        """Was current, and is kept up to date so that it can be again."""
        DROPPED = "dropped"

    task_type = models.CharField(max_length=32, choices=choices(TaskType))
    model = models.CharField(max_length=255)
    state = models.CharField(max_length=16, choices=State.choices)
    dimension = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of its vectors. Empty: as it is configured."
    )
    started_at = models.DateTimeField(
        null=True, blank=True, help_text="Older jobs of this model brought vectors that were dropped since."
    )
    asked_up_to = models.BigIntegerField(
        default=0, help_text="Up to which image or face everything was asked for, while it is not current."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("task_type", "model", name="one_version_per_model"),
            models.UniqueConstraint(
                "task_type", name="one_current_model_per_task", condition=Q(state="current")
            ),
            models.UniqueConstraint(
                "task_type", name="one_other_model_per_task", condition=Q(state__in=("filling", "previous"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} for {self.task_type} ({self.state})"


class ModelVersionEvent(models.Model):
    """Who has changed which models are kept and read, and when."""

    task_type = models.CharField(max_length=32, choices=choices(TaskType))
    model = models.CharField(max_length=255)
    state = models.CharField(max_length=16, choices=ModelVersion.State.choices, help_text="Since then.")
    by = models.CharField(max_length=255, null=True, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.model} became {self.state}"


class VectorErrand(models.Model):
    """Something to be found out in the vectors by the one process that has them open, for another one."""

    kind = models.CharField(max_length=32)
    arguments = models.JSONField(default=dict)
    result = models.JSONField(null=True, blank=True)
    error_message = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    taken_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.kind} of {self.created_at:%F %T}"


class Face(models.Model):
    """A face on an image: where it is, what cut-out shows it, and who it is taken to be."""

    class AssignedBy(models.TextChoices):
        AUTO = "auto"
        USER = "user"

    class Standing(models.TextChoices):
        """What recognition makes of the face."""

        CORE = "core"
        """It speaks for its person: others join by being like it."""
        FOLLOWING = "following"
        """It belongs to its person, but is too poor, or too far off, to speak for it."""
        WAITING = "waiting"
        """It belongs to nobody yet, and is looked at again as soon as a core face is like it."""

    entity = models.ForeignKey(Entity, on_delete=models.CASCADE, related_name="faces")
    bbox = models.JSONField(help_text="x1, y1, x2, y2 of the upright image, 0..1.")
    landmarks = models.JSONField(help_text="Five points by name, each [x, y], 0..1.")
    confidence = models.FloatField()
    quality = models.FloatField()
    file_path = models.CharField(max_length=255, help_text="The aligned crop, relative to the media folder.")
    model = models.CharField(max_length=255, help_text="The detector that found it.")
    known_person = models.ForeignKey(
        KnownPerson, null=True, blank=True, on_delete=models.SET_NULL, related_name="faces"
    )
    assigned_by = models.CharField(max_length=8, choices=AssignedBy.choices, null=True, blank=True)
    standing = models.CharField(max_length=16, choices=Standing.choices, null=True, blank=True)
    recognised_with = models.CharField(
        max_length=255,
        null=True,
        blank=True,
        help_text="The model by whose vector recognition has looked at it; null: it is to be looked at.",
    )
    recognised_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index("recognised_with", "id", name="face_recognised_with"),
            # Holds all that lists of people read of faces: the best ones, how many, whether in the trash.
            models.Index("known_person", F("quality").desc(), "id", "entity", name="face_of_person"),
            models.Index("id", name="face_waiting", condition=Q(standing="waiting")),
        ]
        constraints = [
            models.CheckConstraint(
                name="face_confidence_in_unit_range", condition=Q(confidence__gte=0, confidence__lte=1)
            ),
            models.CheckConstraint(
                name="face_quality_in_unit_range", condition=Q(quality__gte=0, quality__lte=1)
            ),
            models.CheckConstraint(
                name="face_assigned_by_someone",
                condition=Q(known_person__isnull=True) | Q(assigned_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"face {self.pk} on entity {self.entity_id}"

    def get_file_path(self, storage: FileStorage) -> Path:
        """Raises ValueError when there is no crop or its path leaves the media folder."""
        if not self.file_path:
            raise ValueError(f"face {self.pk} has no crop")
        return storage.resolve(self.file_path)
