"""Taking back everything that was found on an image: vectors, faces and their crops."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import transaction

from entities.storage import EntityStorageService
from intelligence import crops, marks
from intelligence.models import Face
from vectors import Filter, HasId, MatchAny, QdrantVectorStore


@dataclass(frozen=True)
class Forgetter:
    clip: QdrantVectorStore
    dino: QdrantVectorStore
    face: QdrantVectorStore
    storage: EntityStorageService

    def forget(self, entity_ids: Sequence[int]) -> None:
        """Vectors go before the transaction commits: if that fails, the caller does all of it again."""
        if not entity_ids:
            return
        self.clip.delete(entity_ids)
        self.dino.delete(entity_ids)
        self.face.delete_of_entities(entity_ids)
        Face.objects.filter(entity_id__in=entity_ids).delete()
        transaction.on_commit(partial(crops.remove_all, self.storage, entity_ids))

    def forget_faces(self, entity_ids: Collection[int], face_ids: Sequence[int]) -> None:
        """The faces of these images that a new detection replaces. Vectors go by image: a detection that died
        before its rows were committed has left some of faces that never were.
        """
        self.face.delete_of_entities(entity_ids)
        if not face_ids:
            return
        marks.note(Face.objects.filter(pk__in=face_ids).values_list("entity_id", flat=True))
        Face.objects.filter(pk__in=face_ids).delete()

    def forget_unowned_faces(self, entity_ids: Collection[int]) -> None:
        """Vectors of faces that have no row, of images that no detection will come to soon. These are locked,
        so that nobody is about to commit those rows.
        """
        owned = frozenset(Face.objects.filter(entity_id__in=entity_ids).values_list("pk", flat=True))
        must_not = (HasId(owned),) if owned else ()
        self.face.delete_by(Filter(must=(MatchAny("entity_id", tuple(entity_ids)),), must_not=must_not))
