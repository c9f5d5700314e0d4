"""Faces planted in the outputs of small graphs come out where they were planted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.scrfd import ScrfdDetector
from tests.intelligence.compute.onnx.conftest import OpenModel
from tests.intelligence.compute.onnx.graphs import constant
from tests.intelligence.compute.pictures import OpenPicture

Arrays = dict[str, NDArray[np.float32]]

STRIDES = {9: (8, 16, 32), 15: (8, 16, 32, 64, 128)}


def empty(outputs: int = 9, side: int = 640) -> Arrays:
    anchors = 2 if outputs == 9 else 1
    return {
        f"{kind}{stride}": np.zeros(((side // stride) ** 2 * anchors, width), dtype=np.float32)
        for kind, width in (("scores", 1), ("boxes", 4), ("points", 10))
        for stride in STRIDES[outputs]
    }


def plant(arrays: Arrays, stride: int, row: int, *, score: float, box: list[float]) -> None:
    arrays[f"scores{stride}"][row] = score
    arrays[f"boxes{stride}"][row] = box
    arrays[f"points{stride}"][row] = np.arange(10) / 10


@pytest.mark.parametrize(
    ("stride", "row", "centre"),
    [
        (8, 0, (0, 0)),
        (8, 1, (0, 0)),  # the second anchor of the same cell
        (8, 2 * (3 * 80 + 5), (40, 24)),
        (16, 2 * (7 * 40 + 2) + 1, (32, 112)),
        (32, 2 * (19 * 20 + 19), (608, 608)),
    ],
)
def test_planted_face_is_found_where_it_is(
    tmp_path: Path, open_model: OpenModel, stride: int, row: int, centre: tuple[int, int]
) -> None:
    arrays = empty()
    plant(arrays, stride, row, score=0.9, box=[1, 2, 3, 4])
    detector = ScrfdDetector(
        open_model(constant(tmp_path / "det.onnx", (1, 3, "h", "w"), arrays)), threshold=0.5, nms=0.4
    )
    found = detector.look(np.zeros((640, 640, 3), dtype=np.uint8))
    x, y = centre
    assert found.scores.tolist() == pytest.approx([0.9])
    expected = [x - stride, y - 2 * stride, x + 3 * stride, y + 4 * stride]
    assert found.boxes.tolist() == [pytest.approx(expected)]
    points = [(x + stride * i / 10, y + stride * (i + 1) / 10) for i in range(0, 10, 2)]
    assert np.allclose(found.points[0], points, atol=1e-3)


def test_elder_layout_has_one_anchor_a_cell(tmp_path: Path, open_model: OpenModel) -> None:
    arrays = empty(15)
    plant(arrays, 64, 3 * 10 + 5, score=0.8, box=[1, 1, 1, 1])
    session = open_model(constant(tmp_path / "det.onnx", (1, 3, 640, 640), arrays))
    found = ScrfdDetector(session, threshold=0.5, nms=0.4).look(np.zeros((640, 640, 3), dtype=np.uint8))
    assert found.boxes.tolist() == [[256, 128, 384, 256]]


def test_batch_in_front_of_the_rows_makes_no_difference(tmp_path: Path, open_model: OpenModel) -> None:
    arrays = empty()
    plant(arrays, 16, 100, score=0.8, box=[1, 1, 1, 1])
    black = np.zeros((480, 640, 3), dtype=np.uint8)
    bare, batched = (
        ScrfdDetector(
            open_model(constant(tmp_path / f"{name}.onnx", (1, 3, 640, 640), outputs)), threshold=0.5, nms=0.4
        ).look(black)
        for name, outputs in (("bare", arrays), ("batched", {k: v[None] for k, v in arrays.items()}))
    )
    assert len(bare) == 1
    assert np.array_equal(bare.boxes, batched.boxes)


def test_best_of_overlapping_faces_stays_over_all_levels(tmp_path: Path, open_model: OpenModel) -> None:
    arrays = empty()
    plant(arrays, 8, 2 * (40 * 80 + 40), score=0.7, box=[4, 4, 4, 4])  # 320, 320; 64 wide
    plant(arrays, 16, 2 * (20 * 40 + 20), score=0.9, box=[2, 2, 2, 2])  # the same place
    plant(arrays, 32, 2 * (10 * 20 + 11), score=0.8, box=[1, 1, 1, 1])  # 32 to the right: IoU 1/3
    plant(arrays, 32, 2 * (1 * 20 + 1), score=0.49, box=[1, 1, 1, 1])
    session = open_model(constant(tmp_path / "det.onnx", (1, 3, 640, 640), arrays))
    black = np.zeros((640, 640, 3), dtype=np.uint8)
    found = ScrfdDetector(session, threshold=0.5, nms=0.4).look(black)
    assert found.scores.tolist() == pytest.approx([0.9, 0.8])
    strict = ScrfdDetector(session, threshold=0.5, nms=0.3).look(black)
    assert strict.scores.tolist() == pytest.approx([0.9])


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (300, 1000), (64, 64), (1023, 767), (1, 50)])
def test_picture_lies_at_the_top_left_in_proportion(
    tmp_path: Path, open_model: OpenModel, width: int, height: int
) -> None:
    """The box from the corner over the model's whole canvas, in pixels of what was given."""
    arrays = empty()
    plant(arrays, 8, 0, score=0.9, box=[0, 0, 80, 80])
    session = open_model(constant(tmp_path / "det.onnx", (1, 3, 640, 640), arrays))
    found = ScrfdDetector(session, threshold=0.5, nms=0.4).look(np.zeros((height, width, 3), dtype=np.uint8))
    new_height = 640 if height > width else int(640 * height / width)
    side = 640 * height / new_height
    assert found.boxes.tolist() == [pytest.approx([0, 0, side, side])]


def test_units_are_those_of_the_picture(
    tmp_path: Path, open_model: OpenModel, open_picture: OpenPicture
) -> None:
    arrays = empty()
    plant(arrays, 32, 2 * (5 * 20 + 10), score=0.9, box=[1, 1, 1, 1])  # 320, 160 of 640 x 320
    session = open_model(constant(tmp_path / "det.onnx", (1, 3, 640, 640), arrays))
    picture = open_picture(Image.new("RGB", (3000, 1500)))
    found = ScrfdDetector(session, threshold=0.5, nms=0.4).detect(picture)
    assert found.boxes.tolist() == [pytest.approx([0.45, 0.4, 0.55, 0.6])]


def test_fed_as_insightface_feeds_it(
    tmp_path: Path, open_model: OpenModel, open_picture: OpenPicture, photos: dict[str, Path]
) -> None:
    """OpenCV's blob of the same canvas, with red and blue swapped as it comes in BGR."""
    fed: list[NDArray[np.float32]] = []
    session = open_model(constant(tmp_path / "det.onnx", (1, 3, "h", "w"), empty()))
    real = session.run
    session.run = lambda feed, outputs=None: (fed.append(feed["input.1"]), real(feed, outputs))[1]  # type: ignore[method-assign,func-returns-value]
    pixels = open_picture(photos["china"]).within(1024)
    ScrfdDetector(session, threshold=0.5, nms=0.4).look(pixels)
    canvas = np.zeros((640, 640, 3), dtype=np.uint8)
    height = int(640 * (pixels.shape[0] / pixels.shape[1]))
    canvas[:height] = cv2.resize(pixels[:, :, ::-1], (640, height))
    blob = cv2.dnn.blobFromImage(canvas, 1 / 128, (640, 640), (127.5, 127.5, 127.5), swapRB=True)
    assert np.allclose(fed[0], blob, atol=1e-5)


@pytest.mark.parametrize(("outputs", "reason"), [(6, "no landmarks"), (1, "1 outputs instead")])
def test_other_models_are_refused(tmp_path: Path, open_model: OpenModel, outputs: int, reason: str) -> None:
    arrays = dict(list(empty().items())[:outputs])
    session = open_model(constant(tmp_path / "det.onnx", (1, 3, 640, 640), arrays))
    with pytest.raises(ModelFileError, match=reason):
        ScrfdDetector(session, threshold=0.5, nms=0.4).look(np.zeros((64, 64, 3), dtype=np.uint8))
