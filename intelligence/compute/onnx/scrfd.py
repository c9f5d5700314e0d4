"""SCRFD and its elder RetinaFace (det_10g, det_2.5g, det_500m ...), decoded as insightface does."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from intelligence.compute.onnx.detections import Detections, Floats, best_of_overlapping, scaled_down
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.session import ModelSession
from intelligence.compute.picture import WORKING_SIDE, Picture, Pixels

_OPEN_SIDE = 640
"""What a file with open sizes is fed."""

_MIDDLE, _SPREAD = 127.5, 128.0

_LEVELS = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}
"""By the number of outputs: the strides, and the anchors of each cell."""

_WITHOUT_LANDMARKS = (6, 10)


class ScrfdDetector:
    def __init__(self, session: ModelSession, *, threshold: float, nms: float) -> None:
        self._session = session
        self._threshold = threshold
        self._nms = nms

    def detect(self, picture: Picture) -> Detections:
        pixels = scaled_down(picture, WORKING_SIDE)
        return self.look(pixels).scaled(1 / pixels.shape[1], 1 / pixels.shape[0])

    def look(self, pixels: Pixels) -> Detections:
        """All faces, in pixels of what is given: it is scaled to the model's size here."""
        strides, anchors = self._levels()
        height, width = self._input_size()
        canvas, scale = _letterbox(pixels, height, width)
        outputs = [_rows(output) for output in self._session.run({self._session.inputs[0].name: canvas})]
        count = len(strides)
        levels = zip(outputs[:count], outputs[count : 2 * count], outputs[2 * count :], strides, strict=True)
        found = [self._decoded(level[:3], level[3], width // level[3], anchors) for level in levels]
        return self._best(_all(found).scaled(1 / scale, 1 / scale))

    def _levels(self) -> tuple[tuple[int, ...], int]:
        count = len(self._session.outputs)
        if count in _LEVELS:
            return _LEVELS[count]
        has_none = "gives no landmarks, without which no face can be aligned"
        reason = has_none if count in _WITHOUT_LANDMARKS else f"has {count} outputs instead of 9 or 15"
        raise ModelFileError(f"{self._session.file.path} is no SCRFD detector for faces: it {reason}.")

    def _input_size(self) -> tuple[int, int]:
        height, width = self._session.inputs[0].shape[2:]
        return height or _OPEN_SIDE, width or _OPEN_SIDE

    def _decoded(
        self, outputs: tuple[Floats, Floats, Floats], stride: int, columns: int, anchors: int
    ) -> Detections:
        """Distances to the sides and to the landmarks, in strides from the corner of the anchor's cell."""
        scores, distances, offsets = outputs
        (hits,) = np.nonzero(scores[:, 0] >= self._threshold)
        cells = hits // anchors
        centres = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32) * stride
        sides = distances[hits] * stride
        boxes = np.concatenate([centres - sides[:, :2], centres + sides[:, 2:]], axis=1)
        points = centres[:, None] + offsets[hits].reshape(-1, 5, 2) * stride
        return Detections(boxes, points, scores[hits, 0])

    def _best(self, found: Detections) -> Detections:
        """insightface counts a box's last pixel in: hence the edge."""
        return found.taken(best_of_overlapping(found.boxes, found.scores, threshold=self._nms, edge=1.0))


def _letterbox(pixels: Pixels, height: int, width: int) -> tuple[Floats, float]:
    """Scaled to fit, at the top left of a black canvas; and by how much. Shape (1, 3, height, width)."""
    steepness = pixels.shape[0] / pixels.shape[1]
    if steepness > height / width:
        new_height, new_width = height, max(1, int(height / steepness))
    else:
        new_height, new_width = max(1, int(width * steepness)), width
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(pixels, (new_width, new_height))
    values = (canvas.astype(np.float32) - _MIDDLE) / _SPREAD
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None]), new_height / pixels.shape[0]


def _rows(output: Floats) -> Floats:
    """Some exports have a batch of one in front."""
    return output[0] if output.ndim == 3 else output  # noqa: PLR2004 - batch, rows, values


def _all(found: Sequence[Detections]) -> Detections:
    whole, *rest = found
    for more in rest:
        whole = whole.joined(more)
    return whole
