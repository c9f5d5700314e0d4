"""Why a face has its person, or none."""

from __future__ import annotations

from dataclasses import dataclass

from intelligence import capabilities, visibility
from intelligence.models import Face, FaceDecision, FaceMatch
from intelligence.recognition.rules import Rules
from vectors import get_face_store


@dataclass(frozen=True)
class Reasons:
    face: Face
    rule: str
    """In words."""
    model: str | None
    """The one that the face was looked at with; the current one where nobody has yet."""
    same_person_from: float | None
    needed: float | None
    """What the face has to be like a good one, as poor as it is itself."""
    matches: list[FaceMatch]
    """The closest first."""
    confirmed: FaceDecision | None
    ruled_out: list[FaceDecision]


def why(face: Face) -> Reasons:
    model = face.recognised_with or get_face_store().current_model()
    told = capabilities.read(model)
    threshold = None if told is None else told.same_person_from
    decisions = list(FaceDecision.objects.filter(face=face).order_by("-decided_at", "-pk"))
    confirmed = next((each for each in decisions if each.verdict == FaceDecision.Verdict.IS), None)
    matches = _matches(face, model)
    return Reasons(
        face=face,
        rule=_in_words(face, matches, confirmed, recognises=told is None or threshold is not None),
        model=model,
        same_person_from=threshold,
        needed=None if threshold is None else Rules(threshold).needed(face.quality, 1.0),
        matches=matches,
        confirmed=confirmed,
        ruled_out=[each for each in decisions if each.verdict == FaceDecision.Verdict.IS_NOT],
    )


def _matches(face: Face, model: str | None) -> list[FaceMatch]:
    found = FaceMatch.objects.filter(face=face, model=model or "").select_related("matched_face")
    matches = list(found.order_by("-similarity", "pk"))
    shown = visibility.shown_faces([match.matched_face_id for match in matches])
    return [match for match in matches if match.matched_face_id in shown]


def _in_words(
    face: Face, matches: list[FaceMatch], confirmed: FaceDecision | None, *, recognises: bool
) -> str:
    if confirmed is not None:
        return f"{confirmed.decided_by or 'A user'} said that this is person {confirmed.person_id}."
    if face.assigned_by == Face.AssignedBy.USER:
        return f"A user gave it to person {face.known_person_id}."
    if face.recognised_with is None and face.known_person_id is None:
        if not recognises:
            return "The model in use recognises nobody: a face has a person only where a user says so."
        return "Nobody has looked at it yet, or it is about to be looked at again."
    return _of_the_machine(face, matches)


def _of_the_machine(face: Face, matches: list[FaceMatch]) -> str:
    spoke = [match for match in matches if match.matched_face.known_person_id == face.known_person_id]
    if face.known_person_id is None:
        if not matches:
            return "It waits: it is like no other face, and too poor to be the first of somebody new."
        return "It waits: too few faces of one person are like it, or two people are equally close."
    if not spoke:
        return f"It was like nobody when it came, and became the first of person {face.known_person_id}."
    speaks = "speaks" if face.standing == Face.Standing.CORE else "is too poor to speak"
    return (
        f"{len(spoke)} faces of person {face.known_person_id} are like it, the closest by "
        f"{spoke[0].similarity:.2f} where {spoke[0].threshold:.2f} was needed; it {speaks} for the person."
    )
