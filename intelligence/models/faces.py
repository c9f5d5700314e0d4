"""Faces on images."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from django.db import models
from django.db.models import F, Q

from entities.models import Entity
from intelligence.models.people import KnownPerson


class FileStorage(Protocol):
    """As entities.storage.EntityStorageService."""

    def resolve(self, file_path: str) -> Path: ...


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
