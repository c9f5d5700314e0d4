"""Reading faces side by side, for choosing between people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection

from django.db.models import F, Max, QuerySet, Window
from django.db.models.functions import RowNumber

from intelligence import visibility
from intelligence.models import Face, FaceMatch


def best_faces(person_ids: Collection[int], *, each: int) -> dict[int, list[Face]]:
    """Of each person, the best crops first."""
    faces = visibility.outside_trash(Face.objects.filter(known_person__in=person_ids))
    place = Window(RowNumber(), partition_by="known_person", order_by=[F("quality").desc(), F("pk").asc()])
    best = faces.annotate(place=place).filter(place__lte=each).order_by().values("pk")
    found: dict[int, list[Face]] = defaultdict(list)
    # In two steps: the places are found in an index, without the rows of all the others.
    for face in Face.objects.filter(pk__in=best).order_by(F("quality").desc(), "pk"):
        found[face.known_person_id or 0].append(face)
    return found


def closest_people(face_ids: Collection[int], *, limit: int) -> list[int]:
    """Ids of those whose faces these were found to be like, the closest first."""
    like = FaceMatch.objects.filter(face__in=face_ids, matched_face__known_person__hidden=False)
    by_person = like.order_by().values(person=F("matched_face__known_person"))
    closest = by_person.annotate(closest=Max("similarity")).order_by("-closest", "person")
    return [row["person"] for row in closest[:limit]]


def photos_of_several(person_ids: Collection[int]) -> int:
    """How many photos show more than one of them."""
    shown: QuerySet[Face] = visibility.outside_trash(Face.objects.filter(known_person__in=person_ids))
    pairs = shown.order_by().values_list("entity_id", "known_person_id").distinct()
    people = Counter(entity_id for entity_id, _ in pairs)
    return sum(1 for number in people.values() if number > 1)
