"""Against OpenCV's own FaceDetectorYN, which knows nothing of ours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from intelligence.compute.onnx.detections import Detections, faces
from intelligence.compute.onnx.yunet import YuNetDetector
from intelligence.compute.picture import Pixels
from intelligence.compute.validation import check_face
from tests.intelligence.compute.onnx.conftest import OpenModel
from tests.intelligence.compute.pictures import OpenPicture

FIXED, OPEN = "face_detection_yunet_2023mar", "face_detection_yunet_dynamic"
FACES_IN = {"astronaut": 1, "biden_1": 1, "biden_2": 1, "group_obama_biden": 3, "obama_1": 1, "obama_2": 1}
NOBODY_IN = ("coffee", "chelsea", "rocket", "coins", "china", "flower", "text", "hubble_deep_field")


@pytest.fixture
def of_open_size(open_model: OpenModel, model_files: dict[str, Path]) -> YuNetDetector:
    return YuNetDetector(open_model(model_files[OPEN]), threshold=0.7, nms=0.4)


@pytest.fixture
def of_fixed_size(open_model: OpenModel, model_files: dict[str, Path]) -> YuNetDetector:
    return YuNetDetector(open_model(model_files[FIXED]), threshold=0.7, nms=0.4)


@pytest.fixture(scope="session")
def all_photos(photos: dict[str, Path], portraits: dict[str, Path]) -> dict[str, Path]:
    return {**photos, **portraits}


def by_opencv(
    model_files: dict[str, Path], pixels: Pixels, threshold: float = 0.7, nms: float = 0.4
) -> NDArray[np.float32]:
    """Rows of left, top, width, height, five times x and y, score."""
    size = (pixels.shape[1], pixels.shape[0])
    detector = cv2.FaceDetectorYN.create(str(model_files[FIXED]), "", size, threshold, nms, 5000)
    _, rows = detector.detect(np.ascontiguousarray(pixels[:, :, ::-1]))
    return np.zeros((0, 15), dtype=np.float32) if rows is None else np.asarray(rows, dtype=np.float32)


def assert_same(found: Detections, expected: NDArray[np.float32]) -> None:
    assert len(found) == len(expected)
    assert np.allclose(found.boxes[:, :2], expected[:, :2], atol=1e-2)
    assert np.allclose(found.boxes[:, 2:] - found.boxes[:, :2], expected[:, 2:4], atol=1e-2)
    assert np.allclose(found.points.reshape(-1, 10), expected[:, 4:14], atol=1e-2)
    assert np.allclose(found.scores, expected[:, 14], atol=1e-4)


@pytest.mark.parametrize("name", FACES_IN)
def test_same_as_opencv(
    of_open_size: YuNetDetector,
    open_picture: OpenPicture,
    model_files: dict[str, Path],
    all_photos: dict[str, Path],
    name: str,
) -> None:
    picture = open_picture(all_photos[name])
    for long_side in (256, 700, 1024):
        found = of_open_size.look(picture.within(long_side))
        assert len(found) > 0
        assert_same(found, by_opencv(model_files, picture.within(long_side)))


def test_same_as_opencv_where_many_boxes_overlap(
    open_model: OpenModel,
    open_picture: OpenPicture,
    model_files: dict[str, Path],
    all_photos: dict[str, Path],
) -> None:
    detector = YuNetDetector(open_model(model_files[OPEN]), threshold=0.02, nms=0.3)
    for name in ("group_obama_biden", "astronaut", "hubble_deep_field"):
        pixels = open_picture(all_photos[name]).within(640)
        expected = by_opencv(model_files, pixels, 0.02, 0.3)
        assert len(expected) > 1
        assert_same(detector.look(pixels), expected)


def test_fixed_size_is_filled_up_at_the_right_and_below(
    of_fixed_size: YuNetDetector,
    open_picture: OpenPicture,
    model_files: dict[str, Path],
    all_photos: dict[str, Path],
) -> None:
    for name in FACES_IN:
        pixels = open_picture(all_photos[name]).within(640)
        canvas = np.zeros((640, 640, 3), dtype=np.uint8)
        canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
        assert_same(of_fixed_size.look(pixels), by_opencv(model_files, canvas))
        with pytest.raises(ValueError, match="do not go into"):
            of_fixed_size.look(np.zeros((641, 10, 3), dtype=np.uint8))


def test_finds_all_faces_and_no_other(
    of_open_size: YuNetDetector, open_picture: OpenPicture, all_photos: dict[str, Path]
) -> None:
    for name in (*FACES_IN, *NOBODY_IN):
        picture = open_picture(all_photos[name])
        found = list(faces(picture, of_open_size.detect(picture)))
        assert len(found) == FACES_IN.get(name, 0), name
        for face in found:
            check_face(face)
            assert face.confidence > 0.8


def test_quality_is_high_from_the_front_and_low_from_the_side(
    of_open_size: YuNetDetector, open_picture: OpenPicture, all_photos: dict[str, Path]
) -> None:
    def qualities(name: str) -> list[float]:
        picture = open_picture(all_photos[name])
        return sorted(face.quality for face in faces(picture, of_open_size.detect(picture)))

    assert qualities("obama_1")[0] > 0.8
    assert qualities("camera")[0] < 0.1  # in profile
    in_the_back, *in_front = qualities("group_obama_biden")
    assert in_the_back < 0.3
    assert min(in_front) > 0.7


def test_face_that_fills_the_picture_is_found_whole(
    of_open_size: YuNetDetector, open_picture: OpenPicture, photos: dict[str, Path]
) -> None:
    close_up = Image.open(photos["astronaut"]).convert("RGB").crop((150, 40, 300, 190))
    (small,) = of_open_size.detect(open_picture(close_up)).boxes
    (large,) = of_open_size.detect(open_picture(close_up.resize((2400, 2400)))).boxes
    assert np.abs(small - large).max() < 0.03


def test_blue_faces_are_not_taken_for_red_ones(
    of_open_size: YuNetDetector, open_picture: OpenPicture, portraits: dict[str, Path]
) -> None:
    pixels = open_picture(portraits["obama_1"]).within(256)
    as_it_is = of_open_size.look(pixels).scores[0]
    swapped = of_open_size.look(np.ascontiguousarray(pixels[:, :, ::-1])).scores[0]
    assert abs(as_it_is - swapped) > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (2, 3000), (33, 31)])
def test_nobody_in_pictures_of_any_shape(
    of_open_size: YuNetDetector,
    of_fixed_size: YuNetDetector,
    open_picture: OpenPicture,
    size: tuple[int, int],
) -> None:
    for detector in (of_open_size, of_fixed_size):
        assert len(detector.detect(open_picture(Image.new("RGB", size, "gray")))) == 0
