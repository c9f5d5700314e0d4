"""What users decide about faces as such: that they are none, or nobody's business."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from entities.models import Entity
from entities.storage import EntityStorageService
from intelligence import announce, marks, rows
from intelligence.models import Face, ImageIntelligence
from intelligence.people.journal import Journal, written
from intelligence.people_models import FaceDecision, PeopleOperation
from vectors import QdrantVectorStore


def remove(*, face_id: int, storage: EntityStorageService, store: QdrantVectorStore, by: str | None) -> None:
    """Vector, row and crop; no detection brings it back. Raises Face.DoesNotExist; where the vectors are
    away, nothing is changed.
    """
    with written(PeopleOperation.Kind.REMOVE_FACE, by=by) as journal:
        found = journal.lock_faces(Q(pk=face_id))
        if not found:
            raise Face.DoesNotExist
        face = found[0]
        journal.operation.summary = f"Removed face {face.pk} from entity {face.entity_id}"
        journal.operation.people = [face.known_person_id] if face.known_person_id else []
        ImageIntelligence.objects.filter(pk=face.entity_id, face_count__gt=0).update(
            face_count=F("face_count") - 1, updated_at=timezone.now()
        )
        _say_that_there_is_none(journal, face)
        store.delete([face_id])
        face.delete()
        marks.note([face.entity_id])
        rows.settle(face.entity_id)  # its embedding may have been all that the image waited for
        announce.entities([face.entity_id])
        if face.file_path:
            transaction.on_commit(partial(storage.remove, face.file_path), robust=True)


def _say_that_there_is_none(journal: Journal, face: Face) -> None:
    """What was said of it before is of nothing any more."""
    FaceDecision.objects.filter(face=face).delete()
    md5 = Entity.objects.values_list("md5", flat=True).get(pk=face.entity_id)
    decision = FaceDecision(
        entity_id=face.entity_id,
        md5=md5 or "",
        bbox=face.bbox,
        verdict=FaceDecision.Verdict.NO_FACE,
        decided_by=journal.by,
    )
    journal.add([decision])
