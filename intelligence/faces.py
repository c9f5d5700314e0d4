"""What users decide about faces as such: that they are none, or nobody's business."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from entities.models import Entity
from entities.storage import EntityStorageService
from intelligence import announce, hints, marks, rows
from intelligence.models import Face, FaceDecision, ImageIntelligence, PeopleOperation
from intelligence.people.journal import Journal, written
from intelligence.vocabulary import TaskType
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
        _say_that_there_is_none(journal, face.entity_id, face.bbox)
        store.delete([face_id])
        journal.remove_face(face)
        marks.note([face.entity_id])
        rows.settle(face.entity_id)  # its embedding may have been all that the image waited for
        announce.entities([face.entity_id])
        if face.file_path:
            transaction.on_commit(partial(storage.remove, face.file_path), robust=True)


def deny(*, entity_id: int, bbox: Mapping[str, float], by: str | None) -> None:
    """There is no face at this place. One that is there goes when the image has been looked at again."""
    with written(PeopleOperation.Kind.REMOVE_FACE, by=by) as journal:
        rows.lock_entities([entity_id])
        _say_that_there_is_none(journal, entity_id, bbox)
        rows.make_pending([entity_id], TaskType.FACE_DETECTION)
        transaction.on_commit(hints.dispatch)
        journal.operation.summary = f"Said that there is no face at a place of entity {entity_id}"


def _say_that_there_is_none(journal: Journal, entity_id: int, bbox: Mapping[str, float]) -> None:
    md5 = Entity.objects.values_list("md5", flat=True).get(pk=entity_id)
    decision = FaceDecision(
        entity_id=entity_id,
        md5=md5 or "",
        bbox=bbox,
        verdict=FaceDecision.Verdict.NO_FACE,
        decided_by=journal.by,
    )
    journal.add([decision])
