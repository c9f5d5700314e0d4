"""Whom a face belongs to, in numbers: ArcFace and its kin, SFace, MobileFaceNet."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from intelligence.compute.alignment import CROP_SIDE
from intelligence.compute.base import Vector
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.image_input import ImageInput, Normalisation
from intelligence.compute.onnx.session import Array, ModelSession
from intelligence.compute.onnx.vectors import unit
from intelligence.compute.picture import Pixels


class FaceFamily(StrEnum):
    """What a face model was trained to be fed; all take aligned crops in RGB."""

    ARCFACE = "arcface"  # insightface's w600k_r50, w600k_mbf, glintr100; AuraFace, EdgeFace
    SFACE = "sface"  # OpenCV's zoo
    IMAGENET = "imagenet"  # MobileFaceNet by foamliu


_RAW = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

_NORMALISATIONS = {
    FaceFamily.ARCFACE: Normalisation((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    FaceFamily.SFACE: _RAW,
    FaceFamily.IMAGENET: Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), scale=1 / 255),
}

_SAME_PERSON_FROM = {
    FaceFamily.ARCFACE: 0.5,  # Immich's largest distance, 0.5
    FaceFamily.SFACE: 0.363,  # OpenCV's own, at which LFW was measured
    FaceFamily.IMAGENET: 0.5,  # same person from 0.53, others up to 0.47, on 36 faces
}
"""Cosines."""

_LOOKED_THROUGH = 8
"""ArcFace exports that subtract and multiply among so many first operators normalise by themselves."""

_MOST_AT_ONCE = 8


class FaceEmbedder:
    def __init__(self, session: ModelSession, family: FaceFamily) -> None:
        self._session = session
        self._normalisation = _NORMALISATIONS[family]
        self.same_person_from = _SAME_PERSON_FROM[family]
        first = session.file.graph.operators[:_LOOKED_THROUGH]
        if family is FaceFamily.ARCFACE and {"Sub", "Mul"} <= set(first):
            self._normalisation = _RAW

    @property
    def dimension(self) -> int | None:
        """None if the file does not say."""
        shapes = list(self._session.file.graph.outputs.values())
        return shapes[0][-1] if shapes and shapes[0] else None

    def embed(self, crops: Sequence[Pixels]) -> list[Vector]:
        """A vector of length 1 for each crop, which must be 112 x 112, RGB, aligned. As many at once as the
        file allows."""
        fed = ImageInput.of(self._session)
        at_once = fed.batch or _MOST_AT_ONCE
        if len(self._session.outputs) != 1:
            raise ModelFileError(f"{self._session.file.path} is no face model: it has more than one output.")
        vectors: list[Vector] = []
        for start in range(0, len(crops), at_once):
            batch = [_checked(crop) for crop in crops[start : start + at_once]]
            filled = batch + [batch[-1]] * ((fed.batch or len(batch)) - len(batch))
            (rows,) = self._session.run({fed.tensor.name: fed.fed(filled, self._normalisation)})
            vectors += [unit(np.ravel(row)) for row in _of_each(rows, len(filled))[: len(batch)]]
        return vectors


def _checked(crop: Pixels) -> Pixels:
    if crop.shape != (CROP_SIDE, CROP_SIDE, 3):
        raise ValueError(f"expected an aligned crop of {CROP_SIDE} x {CROP_SIDE}, got {crop.shape}")
    return crop


def _of_each(rows: Array, count: int) -> Array:
    if len(rows) != count:
        raise ValueError(f"the model gave {len(rows)} vectors for {count} faces")
    return rows
