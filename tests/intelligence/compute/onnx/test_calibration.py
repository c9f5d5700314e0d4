"""Made-up libraries of faces against real photos: their cosines are those that a real model gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from benchmarks.libraries import DIMENSION, make_library
from intelligence.compute.alignment import aligned_crop
from intelligence.compute.onnx.detections import faces
from intelligence.compute.onnx.face_embedder import FaceEmbedder, FaceFamily
from intelligence.compute.onnx.yunet import YuNetDetector
from intelligence.recognition.rules import Rules
from tests.intelligence.compute.onnx.conftest import OpenModel
from tests.intelligence.compute.pictures import OpenPicture

SHOWN = {
    "biden_1": ["biden"],
    "biden_2": ["biden"],
    "obama_1": ["obama"],
    "obama_2": ["obama"],
    "group_obama_biden": ["biden", "obama"],
}
"""From left to right, without crops that are poor."""
GOOD = Rules(0.5).good_quality
LOWER, FURTHER = 0.15, 0.25
"""By how much the median of one person, and the least alike, may lie below those of portraits: families are
seen over years."""


@dataclass(frozen=True)
class Cosines:
    same: NDArray[np.float64]
    different: NDArray[np.float64]


def cosines_of(vectors: ArrayLike, who: ArrayLike) -> Cosines:
    alike, people = np.asarray(vectors) @ np.asarray(vectors).T, np.asarray(who)
    once = np.triu(np.ones_like(alike, dtype=bool), 1)
    same = people[:, None] == people[None]
    return Cosines(alike[same & once], alike[~same & once])


@pytest.fixture
def real(
    open_model: OpenModel,
    model_files: Mapping[str, Path],
    portraits: Mapping[str, Path],
    open_picture: OpenPicture,
) -> Cosines:
    detector = YuNetDetector(open_model(model_files["face_detection_yunet_dynamic"]), threshold=0.7, nms=0.4)
    embedder = FaceEmbedder(open_model(model_files["mobilefacenet_foamliu_112x112"]), FaceFamily.IMAGENET)
    crops, who = [], []
    for name, shown in SHOWN.items():
        picture = open_picture(portraits[name])
        good = [face for face in faces(picture, detector.detect(picture)) if face.quality >= GOOD]
        good.sort(key=lambda face: face.bbox.x1)
        crops += [aligned_crop(picture, face.landmarks) for face in good]
        who += shown
    vectors = embedder.embed(crops)
    assert np.shape(vectors) == (len(who), DIMENSION)
    return cosines_of(vectors, who)


@pytest.fixture
def made_up() -> Cosines:
    library = make_library(4_000, 200, seed=1)
    good = library.quality >= GOOD
    return cosines_of(library.vectors[good], library.people[good])


def test_one_person_is_as_alike_as_on_real_photos(real: Cosines, made_up: Cosines) -> None:
    assert len(real.same) == 6
    least, half, most = np.quantile(made_up.same, [0.01, 0.5, 0.99])
    assert real.same.min() - FURTHER < least < real.same.min()
    assert real.same.max() < most
    assert np.median(real.same) - LOWER < half <= np.median(real.same)


def test_different_people_are_as_alike_as_on_real_photos(real: Cosines, made_up: Cosines) -> None:
    assert len(real.different) == 9
    least, many, nearly_all = np.quantile(made_up.different, [0.01, 0.95, 0.999])
    assert least < real.different.min()
    assert many < real.different.max() < nearly_all
    assert nearly_all < real.same.min()
