"""What is kept of images beside their rows, brought up to what the database says: the payload of their
vectors, which searches filter on, and the groups of near-duplicates.

One transaction at a time does it, under a lock: two that have read at different moments never overwrite each
other. Everything is compared before it is written, so that running it twice writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from entities import locks
from entities.models import Entity
from intelligence import marks
from intelligence.facts import ImageFacts, image_facts
from intelligence.models import EntitySyncState, Face, ImageIntelligence, UpkeepMark
from intelligence.near_duplicates import DuplicateKeeper
from vectors import Filter, HasId, MatchAny, QdrantVectorStore, Record
from vectors.validation import cleaned_payload

UPKEEP_LOCK = "intelligence.upkeep"
BATCH_SIZE = 200
"""Images in one transaction: SQLite's other writers wait for it."""
MARKS_SECONDS = 2.0
"""What is left after so long is for the next task: the thread has others to serve."""
SWEEP_SPAN = 5000
"""Images that a sweep compares with their vectors; the next goes on from there."""
SWEEP_SECONDS = 20.0


@dataclass(frozen=True)
class Upkeep:
    clip: QdrantVectorStore
    dino: QdrantVectorStore
    face: QdrantVectorStore
    duplicates: DuplicateKeeper

    def follow_marks(self, seconds: float = MARKS_SECONDS) -> bool:
        """True where some are left: the time was too short for them."""
        return _repeat(self._follow_some_marks, seconds)

    def sweep(self, seconds: float = SWEEP_SECONDS) -> None:
        """What slipped, or was there before: the next span of images."""
        batches = iter(range(SWEEP_SPAN // BATCH_SIZE))
        _repeat(lambda: next(batches, None) is not None and self._sweep_some(), seconds)

    @transaction.atomic
    def _follow_some_marks(self) -> bool:
        """False where there are no more; a few that keep coming are for the next task."""
        locks.hold(UPKEEP_LOCK)
        found = dict(UpkeepMark.objects.order_by("pk").values_list("pk", "entity_id")[:BATCH_SIZE])
        if not found:
            return False
        entity_ids = set(found.values())
        collections = Entity.objects.filter(pk__in=entity_ids, is_collection=True).order_by()
        above = set(collections.values_list("pk", flat=True))
        for pk in sorted(above):
            marks.note_children(pk)
        self._bring_up(entity_ids - above)
        UpkeepMark.objects.filter(pk__in=found).delete()
        return bool(above) or len(found) == BATCH_SIZE

    @transaction.atomic
    def _sweep_some(self) -> bool:
        """False at the end of all."""
        locks.hold(UPKEEP_LOCK)
        state, _ = EntitySyncState.objects.get_or_create(pk=1)
        following = ImageIntelligence.objects.filter(pk__gt=state.upkeep_swept_up_to).order_by("pk")
        span = list(following.values_list("pk", flat=True)[:BATCH_SIZE])
        self._bring_up(span)
        is_end = len(span) < BATCH_SIZE
        EntitySyncState.objects.update(upkeep_swept_up_to=0 if is_end else span[-1])
        return not is_end

    def _bring_up(self, entity_ids: Collection[int]) -> None:
        facts = image_facts(entity_ids)
        contents: dict[int, str] = {}
        if facts:
            owners = Filter(must=(HasId(frozenset(facts)),))
            for store in (self.clip, self.dino):
                records = list(store.scroll(owners))
                contents = {record.id: record.payload.get("md5", "") for record in records}  # dino's stay
                _correct(store, records, {pk: each.payload() for pk, each in facts.items()})
            faces = list(self.face.scroll(Filter(must=(MatchAny("entity_id", tuple(sorted(facts))),))))
            _correct(self.face, faces, _facts_of_faces(faces, facts))
        self.duplicates.follow(entity_ids, facts, contents)


def _facts_of_faces(faces: Sequence[Record], facts: Mapping[int, ImageFacts]) -> dict[int, dict[str, Any]]:
    """By the id of each face."""
    people = dict(
        Face.objects.filter(pk__in=[face.id for face in faces]).values_list("pk", "known_person_id")
    )
    return {
        face.id: {"hidden": facts[face.payload["entity_id"]].hidden, "known_person_id": people.get(face.id)}
        for face in faces
        if face.payload.get("entity_id") in facts
    }


def _correct(
    store: QdrantVectorStore, records: Sequence[Record], right: Mapping[int, dict[str, Any]]
) -> None:
    """Writes only what differs: a point with a new payload leaves the index of the embedded engine."""
    alike: dict[str, tuple[dict[str, Any], list[int]]] = {}
    for record in records:
        kept = cleaned_payload(right.get(record.id, {}))
        wrong = {
            key: value
            for key, value in kept.items()
            if key not in record.payload or record.payload[key] != value
        }
        if wrong:
            alike.setdefault(repr(wrong), (wrong, []))[1].append(record.id)
    store.set_payloads((ids, wrong) for wrong, ids in alike.values())


def _repeat(step: Callable[[], bool], seconds: float) -> bool:
    """Until it says that nothing is left. True where the time was over before."""
    deadline = time.monotonic() + seconds
    while step():
        if time.monotonic() > deadline:
            return True
    return False
