"""What people have decided, as lines of JSON that mean something in another store: a face is named by the MD5
of its image and its place on it, a person by a number that only holds within the copy.

Reading a copy takes the same operations as users do, so each step of it can be taken back. It can be read
again: what is decided already is left as it is, and what had no face to be about yet finds it then.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Exists, OuterRef, Q

from entities.models import Entity
from intelligence import faces
from intelligence.models import Face, FaceDecision, KnownPerson, PersonDistinction
from intelligence.people import decisions, persons
from intelligence.people.errors import PeopleError

SAME_PLACE = 0.5
"""Intersection over union, from which on a face is the one that was meant."""

Told = dict[str, Any]
Verdict = FaceDecision.Verdict


def lines() -> Iterator[str]:
    """People that were named, hidden or decided about; decisions; distinctions."""
    decided = FaceDecision.objects.filter(person=OuterRef("pk"))
    distinct = PersonDistinction.objects.filter(Q(person=OuterRef("pk")) | Q(other=OuterRef("pk")))
    touched = Q(name__isnull=False) | Q(hidden=True) | Q(Exists(decided)) | Q(Exists(distinct))
    for person in KnownPerson.objects.filter(touched).order_by("pk").iterator():
        yield _line("person", id=person.pk, name=person.name, hidden=person.hidden)
    for each in FaceDecision.objects.order_by("pk").iterator():
        about = {"md5": each.md5, "bbox": each.bbox, "person": each.person_id, "verdict": each.verdict}
        yield _line("decision", **about, by=each.decided_by, at=each.decided_at.isoformat())
    for pair in PersonDistinction.objects.order_by("pk").iterator():
        yield _line("distinction", person=pair.person_id, other=pair.other_id, by=pair.decided_by)


def _line(of: str, **values: Any) -> str:
    return json.dumps({"of": of, **values})


@dataclass
class Reader:
    """Counts what became of each: done, there (already), other (as decided here), waiting (for a face)."""

    ended: Counter[str] = field(default_factory=Counter)
    _people: dict[int, Told] = field(default_factory=dict)
    _here: dict[int, int] = field(default_factory=dict)
    """The people of this store, by their numbers in the copy."""

    def read(self, copied: Iterable[str]) -> Counter[str]:
        """Who people are comes before who they are not."""
        later: list[Told] = []
        for told in map(json.loads, copied):
            if told["of"] == "person":
                self._people[told["id"]] = told
            elif told.get("verdict") == Verdict.IS:
                self.ended[self._say_who(told)] += 1
            else:
                later.append(told)
        for told in later:
            self.ended[self._say(told)] += 1
        self._hide()
        return self.ended

    def _say_who(self, told: Told) -> str:
        face = face_at(told["md5"], told["bbox"])
        if face is None:
            return "waiting"
        decided = FaceDecision.objects.filter(face=face, verdict=Verdict.IS).first()
        if decided is not None and decided.person_id is not None:
            return "there" if self._stands_for(told["person"], decided.person_id) else "other"
        known = self._person_here(told["person"])
        name = None if known else self._people[told["person"]]["name"]
        decisions.assign(face_ids=[face.pk], person_id=known, name=name, by=told["by"])
        face.refresh_from_db()
        assert face.known_person_id is not None
        self._here[told["person"]] = face.known_person_id
        return "done"

    def _stands_for(self, number: int, person_id: int) -> bool:
        return self._here.setdefault(number, person_id) == person_id

    def _person_here(self, number: int) -> int | None:
        """Of the same name, if there is only one."""
        if number not in self._here:
            name = self._people[number]["name"]
            namesakes = KnownPerson.objects.filter(name=name) if name else KnownPerson.objects.none()
            ids = list(namesakes.values_list("pk", flat=True)[:2])
            if len(ids) == 1:
                self._here[number] = ids[0]
        return self._here.get(number)

    def _say(self, told: Told) -> str:
        if told["of"] == "distinction":
            return self._distinguish(told)
        if told["verdict"] == Verdict.NO_FACE:
            return _say_that_there_is_none(told)
        face, person = face_at(told["md5"], told["bbox"]), self._person_here(told["person"])
        if face is None or person is None:
            return "waiting"
        if FaceDecision.objects.filter(face=face, person=person).exists():
            return "there"
        decisions.reject(face_ids=[face.pk], person_id=person, by=told["by"])
        return "done"

    def _distinguish(self, told: Told) -> str:
        pair = [self._person_here(told[name]) for name in ("person", "other")]
        person, other = pair
        if person is None or other is None or person == other:
            return "waiting"
        if PersonDistinction.objects.filter(person__in=pair, other__in=pair).exists():
            return "there"
        try:
            persons.distinguish(person_id=person, other_id=other, by=told["by"])
        except PeopleError:
            return "other"
        return "done"

    def _hide(self) -> None:
        for number, person_id in self._here.items():
            if self._people[number]["hidden"] and not KnownPerson.objects.get(pk=person_id).hidden:
                persons.set_hidden(person_id=person_id, hidden=True, by=None)


def _say_that_there_is_none(told: Told) -> str:
    """Which takes effect as soon as a worker has looked at the image again."""
    entity_id = Entity.objects.filter(md5=told["md5"]).values_list("pk", flat=True).first()
    if entity_id is None:
        return "waiting"
    said = FaceDecision.objects.filter(entity=entity_id, md5=told["md5"], verdict=Verdict.NO_FACE)
    if any(shared(each.bbox, told["bbox"]) >= SAME_PLACE for each in said):
        return "there"
    face = face_at(told["md5"], told["bbox"])
    if face is not None and FaceDecision.objects.filter(face=face, verdict=Verdict.IS).exists():
        return "other"
    faces.deny(entity_id=entity_id, bbox=told["bbox"], by=told["by"])
    return "done"


def face_at(md5: str, bbox: Told) -> Face | None:
    """The best at this place of the image with this content."""
    found = Face.objects.filter(entity__md5=md5)
    best = max(found, key=lambda face: shared(face.bbox, bbox), default=None)
    return best if best is not None and shared(best.bbox, bbox) >= SAME_PLACE else None


def shared(one: Told, other: Told) -> float:
    """Intersection over union."""
    width = min(one["x2"], other["x2"]) - max(one["x1"], other["x1"])
    height = min(one["y2"], other["y2"]) - max(one["y1"], other["y1"])
    both = max(0.0, width) * max(0.0, height)
    either = _area(one) + _area(other) - both
    return both / either if either else 0.0


def _area(box: Told) -> float:
    return float((box["x2"] - box["x1"]) * (box["y2"] - box["y1"]))
