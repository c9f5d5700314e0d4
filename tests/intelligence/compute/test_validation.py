from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from intelligence.compute.base import BoundingBox, DetectedFace, Landmarks
from intelligence.compute.picture import encode_png
from intelligence.compute.validation import check_face, check_vector


def face(**changes: Any) -> DetectedFace:
    whole = DetectedFace(
        bbox=BoundingBox(0.0, 0.1, 0.5, 1.0),
        landmarks=Landmarks((0.1, 0.2), (0.3, 0.2), (0.2, 0.3), (0.1, 0.4), (0.3, 0.4)),
        confidence=0.9,
        quality=0.0,
        crop=encode_png(np.zeros((112, 112, 3), dtype=np.uint8)),
    )
    return replace(whole, **changes)


def unit(dimension: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(dimension, dimension**-0.5, dtype=np.float32)


def test_good_results_pass() -> None:
    check_face(face())
    check_vector(unit(384), dimension=384)
    check_vector(unit(384), dimension=None)


@pytest.mark.parametrize(
    ("vector", "complaint"),
    [
        (unit(384), "expected 512 float32"),
        (unit(512).astype(np.float64), "float64"),
        (unit(512).reshape(2, 256), "2, 256"),
        (unit(512) * np.float32(1.01), "length 1"),
        (np.zeros(512, dtype=np.float32), "length 1"),
        (np.full(512, np.nan, dtype=np.float32), "length 1"),
        (np.full(512, np.inf, dtype=np.float32), "length 1"),
    ],
)
def test_bad_vectors_are_refused(vector: np.ndarray[Any, np.dtype[np.floating[Any]]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        check_vector(vector, dimension=512)


@pytest.mark.parametrize(
    "changes",
    [
        {"bbox": BoundingBox(0.5, 0.1, 0.5, 0.9)},
        {"bbox": BoundingBox(-0.1, 0.1, 0.5, 0.9)},
        {"bbox": BoundingBox(0.1, 0.1, 0.5, 1.1)},
        {"bbox": BoundingBox(float("nan"), 0.1, 0.5, 0.9)},
        {"landmarks": Landmarks((1.2, 0), (0, 0), (0, 0), (0, 0), (0, 0))},
        {"landmarks": Landmarks((float("nan"), 0), (0, 0), (0, 0), (0, 0), (0, 0))},
        {"confidence": 1.5},
        {"quality": float("nan")},
        {"crop": b"not a picture"},
        {"crop": encode_png(np.zeros((112, 112, 3), dtype=np.uint8))[:-20]},
        {"crop": encode_png(np.zeros((64, 64, 3), dtype=np.uint8))},
    ],
)
def test_bad_faces_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_face(face(**changes))
