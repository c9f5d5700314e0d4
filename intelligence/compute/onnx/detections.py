"""What every face detector gives, and what becomes of it: which finds stay, and the faces they show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from intelligence.compute.alignment import aligned_crop
from intelligence.compute.base import BoundingBox, DetectedFace, Landmarks, Point
from intelligence.compute.crop_quality import crop_quality
from intelligence.compute.picture import Picture, Pixels, encode_png

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """Finds in pixels of the array that was looked at, best first unless stated otherwise."""

    boxes: Floats
    """Shape (n, 4): left, top, right, bottom; may reach beyond the picture."""
    points: Floats
    """Shape (n, 5, 2): x, y of the landmarks, in the order of `Landmarks`."""
    scores: Floats
    """Shape (n,), 0..1."""

    def __len__(self) -> int:
        return len(self.scores)

    def taken(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Detections:
        return Detections(self.boxes[which], self.points[which], self.scores[which])

    def scaled(self, factor_x: float, factor_y: float) -> Detections:
        factors = np.array([factor_x, factor_y], dtype=np.float32)
        return Detections(self.boxes * np.tile(factors, 2), self.points * factors, self.scores)

    def joined(self, other: Detections) -> Detections:
        """The other's after these, not in order of their scores."""
        return Detections(
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.points, other.points]),
            np.concatenate([self.scores, other.scores]),
        )


class FaceDetector(Protocol):
    def detect(self, picture: Picture) -> Detections:
        """In units of the upright picture's width and height."""


def best_of_overlapping(
    boxes: Floats, scores: Floats, *, threshold: float, edge: float = 0.0, at_most: int = 5000
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: which boxes stay, best first.

    A box goes if its overlap (intersection over union) with a better one that stays exceeds the threshold.
    `edge` is added to every width and height, as some libraries do; only the `at_most` best are looked at.
    """
    waiting = np.argsort(-scores, kind="stable")[:at_most]
    boxes = boxes.astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0] + edge) * (boxes[:, 3] - boxes[:, 1] + edge)
    kept: list[np.intp] = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[waiting, :2])
        high = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        shared = np.prod(np.clip(high - low + edge, 0, None), axis=1)
        union = areas[best] + areas[waiting] - shared
        waiting = waiting[shared <= threshold * union]
    return np.array(kept, dtype=np.intp)


def scaled_down(picture: Picture, long_side: int) -> Pixels:
    """As `picture.within`, by OpenCV as the detectors' own libraries do it: in a quarter of the time."""
    size = picture.scaled_size(long_side)
    pixels = picture.at_least(long_side)
    return pixels if pixels.shape[1::-1] == size else np.asarray(cv2.resize(pixels, size), np.uint8)


def faces(picture: Picture, detections: Detections) -> Iterator[DetectedFace]:
    """Those of the finds, in units of the picture's sides, that lie at least partly in the picture.

    A crop is cut along the landmarks as found; in the result boxes and landmarks end at the picture's edge.
    """
    for box, points, score in zip(detections.boxes, detections.points, detections.scores, strict=True):
        inside = BoundingBox(*(float(side) for side in np.clip(box, 0, 1)))
        if not (inside.x1 < inside.x2 and inside.y1 < inside.y2):
            continue
        found = _landmarks(points)
        crop = aligned_crop(picture, found)
        yield DetectedFace(
            bbox=inside,
            landmarks=_landmarks(np.clip(points, 0, 1)),
            confidence=float(np.clip(score, 0, 1)),
            quality=crop_quality(picture.size, found, crop),
            crop=encode_png(crop),
        )


def _landmarks(points: Floats) -> Landmarks:
    named: list[Point] = [(float(x), float(y)) for x, y in points]
    return Landmarks(*named)
