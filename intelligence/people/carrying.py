"""When another detection replaces the faces of a photo: who they are goes over to the faces at their places.

Called with the images locked, and never takes the lock of people: that comes before. An operation that makes
somebody go has locked the images of their faces and of what was decided about them, so that nobody is given
to a person who is going.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from django.db.models import Q

from intelligence.models import Face, FaceDecision, FaceMatch, KnownPerson, PeopleChange
from intelligence.people.places import SAME_PLACE, Box, overlap, pair_up

Verdict = FaceDecision.Verdict

Contents = Mapping[int, str]
"""The md5 of each image: a decision about other content says nothing of this one."""


def removed_places(contents: Contents) -> dict[int, list[Box]]:
    """Where users said that there is no face."""
    found: dict[int, list[Box]] = defaultdict(list)
    decisions = FaceDecision.objects.filter(entity__in=contents, verdict=Verdict.NO_FACE)
    for entity_id, md5, bbox in decisions.values_list("entity_id", "md5", "bbox"):
        if md5 == contents[entity_id]:
            found[entity_id].append(bbox)
    return found


def is_at(places: Iterable[Box], box: Box) -> bool:
    return any(overlap(place, box) >= SAME_PLACE for place in places)


def carry_over(contents: Contents, old: Sequence[Face], new: Sequence[Face]) -> None:
    """Both are in the table; the old ones go after this."""
    heirs = {
        before: after
        for entity_id in contents
        for before, after in pair_up(
            {face: face.bbox for face in old if face.entity_id == entity_id},
            {face: face.bbox for face in new if face.entity_id == entity_id},
        ).items()
    }
    for before, after in heirs.items():
        after.known_person_id, after.assigned_by = before.known_person_id, before.assigned_by
        after.standing = before.standing
    if heirs:
        _pass_on(heirs)
    _remember(contents, new)
    changed = [face for face in new if face.known_person_id is not None or face.standing is not None]
    Face.objects.bulk_update(changed, ["known_person", "assigned_by", "standing"])


def _pass_on(heirs: Mapping[Face, Face]) -> None:
    """Whatever names an old face names its heir."""
    by_id = {before.pk: after for before, after in heirs.items()}
    decisions = list(FaceDecision.objects.filter(face__in=by_id))
    for decision in decisions:
        heir = by_id[decision.face_id or 0]
        decision.face, decision.bbox = heir, heir.bbox
    FaceDecision.objects.bulk_update(decisions, ["face", "bbox"])
    for person in KnownPerson.objects.filter(cover_face__in=by_id):
        # Not a decision: no version of the person, nor another time of change.
        KnownPerson.objects.filter(pk=person.pk).update(cover_face=by_id[person.cover_face_id or 0])
    for change in PeopleChange.objects.filter(face__in=by_id).order_by().distinct().values("face"):
        before = change["face"] or 0
        PeopleChange.objects.filter(face=before).update(face=by_id[before].pk)
    for match in FaceMatch.objects.filter(matched_face__in=by_id).distinct().values("matched_face"):
        before = match["matched_face"]
        FaceMatch.objects.filter(matched_face=before).update(matched_face=by_id[before].pk)


def _remember(contents: Contents, new: Sequence[Face]) -> None:
    """What was said of faces that an earlier detection did not find again, and this one does."""
    kept = FaceDecision.objects.filter(~Q(verdict=Verdict.NO_FACE), entity__in=contents, face__isnull=True)
    asleep = [each for each in kept.order_by("pk") if each.md5 == contents[each.entity_id]]
    decided = set(
        FaceDecision.objects.filter(face__in=new, verdict=Verdict.IS).values_list("face_id", flat=True)
    )
    for decision in asleep:
        here = {face: face.bbox for face in new if face.entity_id == decision.entity_id}
        heir = pair_up({decision: decision.bbox}, here).get(decision)
        if heir is not None and not (decision.verdict == Verdict.IS and heir.pk in decided):
            _awake(decision, heir)
            decided |= {heir.pk} if decision.verdict == Verdict.IS else set()


def _awake(decision: FaceDecision, heir: Face) -> None:
    said = FaceDecision.objects.filter(face=heir, person=decision.person_id)
    if said.exists():
        return
    decision.face, decision.bbox = heir, heir.bbox
    decision.save(update_fields=["face", "bbox"])
    if decision.verdict == Verdict.IS:
        heir.known_person_id, heir.assigned_by = decision.person_id, Face.AssignedBy.USER
        heir.standing = Face.Standing.CORE
    elif heir.known_person_id == decision.person_id:
        heir.known_person_id = heir.assigned_by = heir.standing = None
