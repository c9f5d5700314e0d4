"""Made-up libraries of faces: who is on which photo, and what a face model would make of each face.

An embedding is sqrt(a) own + sqrt(b) mode + sqrt(p) poor + sqrt(1 - a - b - p) noise, of length 1:
- `own` is the person's direction. Of siblings, it has a cosine between 0.60 and 0.75 to the other one's;
  other people's cosines are those of random directions in 128 dimensions with a common part of 0.03;
- `mode` is one of up to six directions of a person: an age, a beard, glasses, a pose;
- `poor` is one direction for all poor crops: embeddings of bad crops are known to attract each other;
- a, and so the likeness to others of the same person, falls with the crop's quality.

The constants are set so that the quantiles of cosines, which the benchmark prints, are those of real models:
for good crops as measured with a MobileFaceNet (128 dimensions; same person: median 0.72, least 0.53-0.58;
different people: 99 % below 0.24; a look-alike pair up to 0.47), with a lower median and a much wider spread
for same people, as family photos have over the years. tests/intelligence/compute/onnx/test_calibration.py
holds them against real photos and a real model, where these are at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIMENSION = 128
COMMON = 0.03
OWN, OWN_SPREAD, OWN_LEAST = 0.60, 0.09, 0.30
MODE = 0.12
POOR_SHARE = 0.12
POOR_OWN, POOR_OWN_SPREAD, POOR_OWN_LEAST = 0.42, 0.08, 0.22
POOR = 0.08
SIBLINGS = 0.08
"""Of all people, so many have a brother or sister who looks like them."""
SIBLINGS_ALIKE = (0.60, 0.75)
COMPANY = (0.55, 0.25, 0.12, 0.08)
"""Of photos, how many show one, two, three, four people."""


@dataclass(frozen=True)
class Library:
    vectors: NDArray[np.float32]
    people: NDArray[np.int64]
    """Who it really is."""
    photos: NDArray[np.int64]
    quality: NDArray[np.float64]
    siblings: list[tuple[int, int]]


def make_library(faces: int, people: int, seed: int) -> Library:
    dice = np.random.default_rng(seed)
    own, siblings = _directions(people, dice)
    who, photos = _photos(_sizes(faces, people), siblings, dice)
    poor = dice.random(len(who)) < POOR_SHARE
    quality = np.where(poor, dice.uniform(0.05, 0.38, len(who)), dice.uniform(0.42, 0.95, len(who)))
    return Library(_embed(own, who, poor, quality, dice), who, photos, quality, siblings)


def _sizes(faces: int, people: int) -> NDArray[np.int64]:
    """Zipf, flattened at the top: of 500 the largest has a seventh of all faces, 188 have one only."""
    share = 1.0 / (np.arange(people) + 6.0) ** 1.9
    sizes: NDArray[np.int64] = np.maximum(1, np.round(share / share.sum() * faces)).astype(np.int64)
    sizes[0] += faces - int(sizes.sum())
    return sizes


def _directions(people: int, dice: np.random.Generator) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    common = _unit(dice.standard_normal(DIMENSION))
    own = _unit(dice.standard_normal((people, DIMENSION)))
    own = _unit(np.sqrt(1 - COMMON) * own + np.sqrt(COMMON) * common)
    siblings = []
    chosen = dice.permutation(people)[: int(people * SIBLINGS) // 2 * 2].tolist()
    for first, second in zip(chosen[::2], chosen[1::2], strict=True):
        alike = dice.uniform(*SIBLINGS_ALIKE)
        aside = own[second] - (own[second] @ own[first]) * own[first]
        own[second] = alike * own[first] + np.sqrt(1 - alike**2) * _unit(aside)
        siblings.append((first, second))
    return own, siblings


def _photos(
    sizes: NDArray[np.int64], siblings: list[tuple[int, int]], dice: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Nobody twice on a photo; siblings often together."""
    left = sizes.copy()
    sibling = {one: other for pair in siblings for one, other in (pair, pair[::-1])}
    who: list[int] = []
    photos: list[int] = []
    photo = 0
    while left.sum():
        company = 1 + int(dice.choice(len(COMPANY), p=COMPANY))
        present: list[int] = []
        for _ in range(company):
            weights = left.astype(np.float64)
            weights[present] = 0
            if present and sibling.get(present[-1], -1) not in (-1, *present) and dice.random() < 0.5:
                weights *= 0
                weights[sibling[present[-1]]] = left[sibling[present[-1]]]
            if not weights.sum():
                break
            present.append(int(dice.choice(len(left), p=weights / weights.sum())))
        for person in present:
            left[person] -= 1
            who.append(person)
            photos.append(photo)
        photo += 1
    return np.array(who), np.array(photos)


def _embed(
    own: NDArray[np.float64],
    who: NDArray[np.int64],
    poor: NDArray[np.bool_],
    quality: NDArray[np.float64],
    dice: np.random.Generator,
) -> NDArray[np.float32]:
    number = len(who)
    good_own = np.clip(dice.normal(OWN, OWN_SPREAD, number) + 0.1 * (quality - 0.7), OWN_LEAST, 0.85)
    poor_own = np.clip(
        dice.normal(POOR_OWN, POOR_OWN_SPREAD, number) + 0.3 * (quality - 0.2), POOR_OWN_LEAST, 0.7
    )
    a = np.where(poor, poor_own, good_own)
    p = np.where(poor, POOR, 0.0)
    modes = _unit(dice.standard_normal((len(own), 6, DIMENSION)))
    common_poor = _unit(dice.standard_normal(DIMENSION))
    noise = _unit(dice.standard_normal((number, DIMENSION)))
    mode = modes[who, dice.integers(0, 6, number)]
    rest = 1 - a - MODE - p
    made = (
        np.sqrt(a)[:, None] * own[who]
        + np.sqrt(MODE) * mode
        + np.sqrt(p)[:, None] * common_poor
        + np.sqrt(rest)[:, None] * noise
    )
    return _unit(made).astype(np.float32)


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    length: NDArray[np.float64] = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / length
