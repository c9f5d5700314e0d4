"""Which person the faces of a photo are given to, as they come. Pure: likenesses in, outcomes out.

Only core faces speak for a person, so that no chain of borderline faces leads from one to another. The faces
of a photo are decided together: never two of them for one person, the closer one comes first, and what is
taken is out of the question for the others. What is not clear waits, and is looked at again when a further
core face is like it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean

from intelligence.recognition.rules import Rules


class Role(StrEnum):
    """Of a face: the same words as Face.Standing."""

    CORE = "core"
    FOLLOWING = "following"
    WAITING = "waiting"


class Speech(StrEnum):
    """Of a piece of evidence: what the matched face says about the person that the face was given to."""

    FOR = "core"
    """It speaks for that person."""
    ANOTHER = "another"
    """It speaks for somebody else."""
    SILENT = "silent"
    """It speaks for nobody."""


@dataclass
class Known:
    """A face that was looked at before, as it stands."""

    photo: int
    quality: float
    person: int | None = None
    role: Role | None = None

    @property
    def speaks(self) -> bool:
        return self.person is not None and self.role is Role.CORE


@dataclass
class Memory:
    """What is known of the faces that others are like, and of their people; kept up as faces are decided."""

    faces: dict[int, Known]
    cores: Counter[int]
    """How many faces can speak for each person."""
    _made: int = 0

    def new_person(self) -> int:
        """A number below 0: no row has it."""
        self._made -= 1
        return self._made

    def settle(self, face: int, known: Known) -> None:
        before = self.faces.get(face)
        if before is not None and before.speaks and before.person is not None:
            self.cores[before.person] -= 1
        self.faces[face] = known
        if known.speaks and known.person is not None:
            self.cores[known.person] += 1


@dataclass(frozen=True)
class Seen:
    """A face to be looked at."""

    face: int
    quality: float
    neighbours: Sequence[tuple[int, float]]
    """Faces of the same model with their cosine, the closest first."""
    person: int | None = None
    """Whom it was given to before."""
    role: Role | None = None
    spoke_for: int | None = None
    """The person that others have heard it speak for, when it was looked at before."""
    is_fixed: bool = False
    """A user has said so."""
    not_these: frozenset[int] = frozenset()
    """People that a user has said it is not."""


@dataclass(frozen=True)
class Evidence:
    face: int
    similarity: float
    needed: float
    speech: Speech


@dataclass(frozen=True)
class Outcome:
    face: int
    person: int | None
    role: Role
    evidence: tuple[Evidence, ...] = ()
    speaks_anew: bool = False
    """For somebody whom it did not speak for before."""


@dataclass(frozen=True)
class _Claim:
    person: int
    closeness: float


@dataclass
class _Photo:
    """The faces of one photo while they are decided."""

    photo: int
    memory: Memory
    rules: Rules
    faces: frozenset[int]
    taken: set[int]
    outcomes: list[Outcome] = field(default_factory=list)
    _like: dict[int, list[tuple[int, float, float]]] = field(default_factory=dict)

    def give(self, seen: Seen, person: int | None, role: Role) -> None:
        if person is not None:
            self.taken.add(person)
        self.memory.settle(seen.face, Known(self.photo, seen.quality, person, role))
        evidence = tuple(self._evidence(seen, person))
        speaks_anew = role is Role.CORE and person != seen.spoke_for
        self.outcomes.append(Outcome(seen.face, person, role, evidence, speaks_anew))

    def _evidence(self, seen: Seen, person: int | None) -> Iterator[Evidence]:
        for face, similarity, needed in self.like(seen):
            known = self.memory.faces[face]
            if not known.speaks:
                speech = Speech.SILENT
            else:
                speech = Speech.FOR if known.person == person else Speech.ANOTHER
            yield Evidence(face, similarity, needed, speech)

    def like(self, seen: Seen) -> list[tuple[int, float, float]]:
        """Faces of other photos that are close enough, each with its cosine and the least that counted. No
        decision about this photo changes that.
        """
        if seen.face not in self._like:
            self._like[seen.face] = list(self._close_enough(seen))
        return self._like[seen.face]

    def _close_enough(self, seen: Seen) -> Iterator[tuple[int, float, float]]:
        for face, similarity in seen.neighbours:
            if similarity < self.rules.same_person_from:
                return  # the closest come first
            known = self.memory.faces.get(face)
            if known is None or known.photo == self.photo:
                continue
            needed = self.rules.needed(seen.quality, known.quality)
            if similarity >= needed:
                yield face, similarity, needed

    def candidates(self, seen: Seen) -> dict[int, list[float]]:
        """The people that somebody speaks for, with the cosines of those who do, the closest first."""
        found: dict[int, list[float]] = defaultdict(list)
        for face, similarity, _ in self.like(seen):
            known = self.memory.faces[face]
            if known.speaks and known.person is not None and known.person not in seen.not_these:
                found[known.person].append(similarity)
        return found

    def claim(self, seen: Seen) -> _Claim | None:
        """The person that the face can be given to, if it is clear enough."""
        candidates = self.candidates(seen)
        if seen.person is not None and seen.person not in self.taken:
            # It stays, unless another face of the photo is clearly closer: who is as close takes no turns.
            closeness = self._closeness(seen.person, candidates.get(seen.person, []))
            return _Claim(seen.person, closeness + self.rules.margin)
        ranked = sorted(
            (
                (self._closeness(person, similarities), person)
                for person, similarities in candidates.items()
                if person not in self.taken
            ),
            reverse=True,
        )
        if not ranked:
            return None
        closeness, person = ranked[0]
        is_clear = len(ranked) == 1 or closeness - ranked[1][0] >= self.rules.margin
        enough = min(self.rules.support, self._cores(person))
        return _Claim(person, closeness) if is_clear and len(candidates[person]) >= enough else None

    def _closeness(self, person: int, similarities: Sequence[float]) -> float:
        """The mean over the closest who speak; who could speak but is not close enough counts as just not."""
        strongest = similarities[: self.rules.strongest]
        silent = min(self.rules.strongest, self._cores(person)) - len(strongest)
        return fmean([*strongest, *[self.rules.same_person_from] * max(silent, 0)] or [0.0])

    def is_supported(self, seen: Seen, person: int) -> bool:
        enough = max(1, min(self.rules.support, self._cores(person)))
        return len(self.candidates(seen).get(person, ())) >= enough

    def _cores(self, person: int) -> int:
        """How many can speak for the person, on other photos."""
        here = (self.memory.faces.get(face) for face in self.faces)
        return self.memory.cores[person] - sum(1 for k in here if k and k.speaks and k.person == person)


def decide_photo(
    photo: int, faces: Sequence[Seen], memory: Memory, rules: Rules, taken: Collection[int] = ()
) -> list[Outcome]:
    """`taken` are the people of faces of the photo that are not looked at now."""
    left = {seen.face: seen for seen in faces}
    deciding = _Photo(photo, memory, rules, frozenset(left), set(taken))
    for seen in faces:
        if seen.is_fixed:
            deciding.give(left.pop(seen.face), seen.person, Role.CORE)
    while left:
        claims = {face: claim for face, seen in left.items() if (claim := _open_claim(deciding, seen))}
        if not claims:
            break
        closest = max(claims, key=lambda face: (claims[face].closeness, -face))
        seen = left.pop(closest)
        deciding.give(seen, claims[closest].person, _role(deciding, seen, claims[closest].person))
    for seen in left.values():
        _begin_or_wait(deciding, seen)
    return deciding.outcomes


def _open_claim(deciding: _Photo, seen: Seen) -> _Claim | None:
    claim = deciding.claim(seen)
    return None if claim is None or claim.person in deciding.taken else claim


def _role(deciding: _Photo, seen: Seen, person: int) -> Role:
    """One that was given before keeps the word it had: what it was heard for may speak no more."""
    if not deciding.rules.is_good(seen.quality):
        return Role.FOLLOWING
    if seen.person != person or deciding.is_supported(seen, person):
        return Role.CORE
    return seen.role or Role.FOLLOWING


def _begin_or_wait(deciding: _Photo, seen: Seen) -> None:
    """A good face that is like nobody is somebody new."""
    open_people = deciding.candidates(seen).keys() - deciding.taken
    if deciding.rules.is_good(seen.quality) and not open_people:
        deciding.give(seen, deciding.memory.new_person(), Role.CORE)
    else:
        deciding.give(seen, None, Role.WAITING)


def heard_by(outcomes: Sequence[Outcome], memory: Memory) -> set[int]:
    """Faces that wait, and now have a further core face that is like them. One that speaks as before, and was
    looked at once more for another's sake, is heard by nobody: two photos would call on each other for ever.
    """
    return {
        evidence.face
        for outcome in outcomes
        if outcome.speaks_anew
        for evidence in outcome.evidence
        if memory.faces[evidence.face].role is Role.WAITING
    }
