"""What counts as evidence that two faces are of one person."""

from __future__ import annotations

from dataclasses import dataclass

CLOSEST = 0.99


@dataclass(frozen=True)
class Rules:
    """All likenesses are cosines of one model, and mean what that model's calibration says."""

    same_person_from: float
    """The model's own: the cosine from which two good crops show one person."""
    good_quality: float = 0.4
    """From this quality on a face can speak for its person, or be the first of a new one."""
    poor_penalty: float = 0.1
    """What a crop of quality 0 has to be closer by."""
    margin: float = 0.05
    """By how much a person has to be closer than the next one."""
    support: int = 2
    """Faces that have to speak for a person, where the person has so many that can."""
    strongest: int = 3
    """How close a person is: the mean over so many of the closest faces that speak for it."""

    small: int = 5
    """Groups of up to so many faces may join a larger one that they are not quite like enough on average."""
    nearly: float = 0.02
    """What they may fall short of same_person_from by."""
    looser: float = 0.10
    """By how much they may be more like each other. Evidence alone lets in small groups of a sibling, whose
    faces are more like each other than that.
    """

    def needed(self, one_quality: float, other_quality: float) -> float:
        """The least cosine that counts: same_person_from + poor_penalty * (1 - q / good_quality), where q is
        the poorer of the two qualities; of two good crops same_person_from.
        """
        poorer = min(one_quality, other_quality)
        shortfall = max(0.0, 1.0 - poorer / self.good_quality)
        return min(self.same_person_from + self.poor_penalty * shortfall, CLOSEST)

    def is_good(self, quality: float) -> bool:
        return quality >= self.good_quality
