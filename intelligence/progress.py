"""How far the looking has come, over all images."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, F, Q

from entities.models import Entity
from intelligence.models import ImageIntelligence
from intelligence.vocabulary import ProcessingStatus


@dataclass(frozen=True)
class Progress:
    total: int
    """Live images whose pixels can be read."""
    completed: int
    failed: int

    @property
    def ended(self) -> int:
        return self.completed + self.failed

    @property
    def is_quiet(self) -> bool:
        return self.ended == self.total


def progress_of_images() -> Progress:
    """Only rows that describe the present content count as ended."""
    total = Entity.objects.live().images().filter(width__isnull=False).count()
    current = ImageIntelligence.objects.filter(entity__is_deleted=False, md5=F("entity__md5"))
    counts = current.aggregate(
        completed=Count("pk", filter=Q(processing_status=ProcessingStatus.COMPLETED)),
        failed=Count("pk", filter=Q(processing_status=ProcessingStatus.FAILED)),
    )
    return Progress(total, counts["completed"], counts["failed"])
