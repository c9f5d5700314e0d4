"""What every result must be, wherever it comes from. Each check raises ValueError."""

from __future__ import annotations

from dataclasses import astuple
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from intelligence.compute.base import (
    BoundingBox,
    DetectedFace,
    EmbeddingResult,
    FaceDetectionResult,
    JobResult,
    Vector,
)

CROP_SIZE = (112, 112)

_LENGTH_TOLERANCE = 1e-3


def check_result(result: JobResult, *, dimension: int | None) -> None:
    """The dimension is that of the model's vectors; None where it is not known or there are none."""
    if isinstance(result, EmbeddingResult):
        check_vector(result.vector, dimension=dimension)
    if isinstance(result, FaceDetectionResult):
        for face in result.faces:
            check_face(face)


def check_vector(vector: NDArray[np.generic], *, dimension: int | None) -> Vector:
    """One embedding: float32, of that dimension, of finite numbers, length 1."""
    if vector.dtype != np.float32 or vector.ndim != 1 or dimension not in (None, len(vector)):
        raise ValueError(f"expected {dimension or 'some'} float32 numbers, got {vector.dtype} {vector.shape}")
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(length - 1) <= _LENGTH_TOLERANCE:  # so put, it also refuses NaN
        raise ValueError(f"expected a vector of length 1, got {length}")
    return vector.astype(np.float32, copy=False)


def check_face(face: DetectedFace) -> None:
    _check_box(face.bbox)
    points = np.array(astuple(face.landmarks), dtype=float)
    if points.shape != (5, 2) or not _in_unit_range(points):
        raise ValueError(f"expected five landmarks within the image, got {face.landmarks}")
    if not _in_unit_range(np.array([face.confidence, face.quality])):
        raise ValueError(
            f"expected a confidence and a quality of 0..1, got {face.confidence}, {face.quality}"
        )
    _check_crop(face.crop)
    if face.embedding is not None:
        check_vector(face.embedding.vector, dimension=None)


def _check_box(box: BoundingBox) -> None:
    if not (0 <= box.x1 < box.x2 <= 1 and 0 <= box.y1 < box.y2 <= 1):
        raise ValueError(f"expected the corners of a box within the image, got {box}")


def _check_crop(crop: bytes) -> None:
    try:
        with Image.open(BytesIO(crop), formats=["PNG"]) as image:
            size = image.size
            image.verify()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("expected the crop of a face as PNG") from error
    if size != CROP_SIZE:
        raise ValueError(f"expected the crop of a face at {CROP_SIZE}, got {size}")


def _in_unit_range(values: NDArray[np.float64]) -> bool:
    return bool(np.all((values >= 0) & (values <= 1)))  # NaN is neither
