"""What users decide about faces."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from entities.storage import EntityStorageService
from intelligence import announce, marks, rows
from intelligence.models import Face, ImageIntelligence
from vectors import QdrantVectorStore


@transaction.atomic
def remove(*, face_id: int, storage: EntityStorageService, store: QdrantVectorStore) -> None:
    """Vector, row and crop. Raises Face.DoesNotExist; where the vectors are away, nothing is changed."""
    entity_id = Face.objects.values_list("entity_id", flat=True).get(pk=face_id)
    rows.lock_entity(entity_id)
    ImageIntelligence.objects.filter(pk=entity_id, face_count__gt=0).update(
        face_count=F("face_count") - 1, updated_at=timezone.now()
    )
    face = Face.objects.select_for_update().get(pk=face_id)  # a detection may have replaced it meanwhile
    store.delete([face_id])
    face.delete()
    marks.note([entity_id])
    rows.settle(entity_id)  # its embedding may have been all that the image waited for
    announce.entities([entity_id])
    if face.file_path:
        transaction.on_commit(partial(storage.remove, face.file_path), robust=True)
