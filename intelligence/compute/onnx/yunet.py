"""The YuNet face detector (2023mar), decoded as OpenCV's FaceDetectorYN does."""

from __future__ import annotations

import cv2
import numpy as np

from intelligence.compute.onnx.detections import Detections, Floats, best_of_overlapping, scaled_down
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.session import ModelSession
from intelligence.compute.picture import WORKING_SIDE, Picture, Pixels

_STRIDES = (8, 16, 32)
_KINDS = ("cls", "obj", "bbox", "kps")
_OUTPUTS = tuple(f"{kind}_{stride}" for kind in _KINDS for stride in _STRIDES)

_COARSE_SIDE = WORKING_SIDE // 4
_LARGE_FACE = 75.0
"""In pixels at _COARSE_SIDE: at WORKING_SIDE more than the 300 pixels that the model is made for."""


class YuNetDetector:
    """A file with open sizes looks at WORKING_SIDE, and once more, for large faces, at a quarter of it; one
    with a fixed size looks once, at that."""

    def __init__(self, session: ModelSession, *, threshold: float, nms: float) -> None:
        self._session = session
        self._threshold = threshold
        self._nms = nms

    def detect(self, picture: Picture) -> Detections:
        fixed = self._fixed_size()
        if fixed is not None:
            return self._looked_at(picture, min(fixed))
        fine = self._looked_at(picture, WORKING_SIDE)
        if max(picture.size) <= _COARSE_SIDE:
            return fine
        coarse = self._looked_at(picture, _COARSE_SIDE)
        width, height = picture.scaled_size(_COARSE_SIDE)
        sides = (coarse.boxes[:, 2:] - coarse.boxes[:, :2]) * (width, height)
        both = fine.joined(coarse.taken(sides.max(axis=1) > _LARGE_FACE))
        return both.taken(best_of_overlapping(both.boxes, both.scores, threshold=self._nms))

    def look(self, pixels: Pixels) -> Detections:
        """All faces at this one scale, in its pixels. ValueError if it is larger than a fixed input."""
        (tensor,) = self._session.inputs
        height, width = self._fixed_size() or _rounded_up(pixels)
        if pixels.shape[0] > height or pixels.shape[1] > width:
            raise ValueError(f"{pixels.shape} pixels do not go into {height} x {width}")
        canvas = np.zeros((1, 3, height, width), dtype=np.float32)
        for plane, colour in zip(canvas[0], reversed(cv2.split(pixels)), strict=True):  # BGR
            plane[: pixels.shape[0], : pixels.shape[1]] = colour
        outputs = dict(zip(_OUTPUTS, self._session.run({tensor.name: canvas}, _OUTPUTS), strict=True))
        found = [self._decoded(outputs, stride, width // stride) for stride in _STRIDES]
        return self._best(found[0].joined(found[1]).joined(found[2]))

    def _looked_at(self, picture: Picture, long_side: int) -> Detections:
        pixels = scaled_down(picture, long_side)
        return self.look(pixels).scaled(1 / pixels.shape[1], 1 / pixels.shape[0])

    def _fixed_size(self) -> tuple[int, int] | None:
        """Height and width; None if the file leaves them open."""
        (tensor,) = self._session.inputs
        if len(tensor.shape) != 4 or tensor.shape[1] != 3:  # noqa: PLR2004 - batch, colours, height, width
            raise ModelFileError(
                f"{self._session.file.path} is no YuNet detector: its input is {tensor.shape}."
            )
        height, width = tensor.shape[2:]
        return None if height is None or width is None else (height, width)

    def _decoded(self, outputs: dict[str, Floats], stride: int, columns: int) -> Detections:
        classes, objects, boxes, points = (outputs[f"{kind}_{stride}"][0] for kind in _KINDS)
        scores = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objects[:, 0], 0, 1))
        (hits,) = np.nonzero(scores >= self._threshold)
        cells = np.stack([hits % columns, hits // columns], axis=1).astype(np.float32)
        centres = (cells + boxes[hits, :2]) * stride
        sides = np.exp(boxes[hits, 2:]) * stride
        corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
        marks = (cells[:, None] + points[hits].reshape(-1, 5, 2)) * stride
        return Detections(corners, marks, scores[hits])

    def _best(self, found: Detections) -> Detections:
        """OpenCV compares boxes with corner and sides cut to whole pixels; to keep the same, so must we."""
        corner = np.trunc(found.boxes[:, :2])
        sides = np.trunc(found.boxes[:, 2:] - found.boxes[:, :2])
        whole = np.concatenate([corner, corner + sides], axis=1)
        return found.taken(best_of_overlapping(whole, found.scores, threshold=self._nms))


def _rounded_up(pixels: Pixels) -> tuple[int, int]:
    """The smallest height and width that hold it and that the coarsest stride divides."""
    coarsest = _STRIDES[-1]
    return -(-pixels.shape[0] // coarsest) * coarsest, -(-pixels.shape[1] // coarsest) * coarsest
