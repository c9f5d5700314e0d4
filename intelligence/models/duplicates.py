"""Which images are copies of one."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


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
