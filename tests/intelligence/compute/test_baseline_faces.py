from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from intelligence.compute.base import BoundingBox, DetectedFace
from intelligence.compute.baseline.haar import (
    CASCADE,
    LAST_STAGE_THRESHOLD,
    HaarFaceDetector,
    confidence,
    quality,
)
from intelligence.compute.picture import Picture
from intelligence.compute.validation import check_face
from tests.intelligence.compute.pictures import OpenPicture

ASTRONAUT_FACE = BoundingBox(0.34, 0.12, 0.54, 0.33)


def faces_of(picture: Picture) -> tuple[DetectedFace, ...]:
    return HaarFaceDetector().detect(picture)


def close(box: BoundingBox, other: BoundingBox) -> bool:
    sides = zip((box.x1, box.y1, box.x2, box.y2), (other.x1, other.y1, other.x2, other.y2), strict=True)
    return all(abs(one - two) < 0.02 for one, two in sides)


def test_finds_the_astronaut(open_picture: OpenPicture, photos: dict[str, Path]) -> None:
    (face,) = faces_of(open_picture(photos["astronaut"]))
    assert close(face.bbox, ASTRONAUT_FACE)
    assert face.landmarks.right_eye[0] < face.landmarks.nose_tip[0] < face.landmarks.left_eye[0]
    assert 0.5 < face.confidence < 1
    assert face.quality > 0.5
    check_face(face)


@pytest.mark.parametrize(
    "name", ["coffee", "chelsea", "camera", "rocket", "coins", "china", "flower", "text"]
)
def test_finds_nobody_where_no_face_is(open_picture: OpenPicture, photos: dict[str, Path], name: str) -> None:
    assert faces_of(open_picture(photos[name])) == ()


def test_face_of_a_photo_stored_sideways(
    tmp_path: Path, open_picture: OpenPicture, photos: dict[str, Path]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.open(photos["astronaut"]).convert("RGB").transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "image.jpg", exif=exif, quality=95)
    (face,) = faces_of(open_picture(tmp_path / "image.jpg"))
    assert close(face.bbox, ASTRONAUT_FACE)


def test_crop_of_a_small_face_has_the_detail_of_the_full_picture(
    tmp_path: Path, open_picture: OpenPicture, photos: dict[str, Path]
) -> None:
    scene = Image.new("RGB", (4096, 3072), "gray")
    scene.paste(Image.open(photos["astronaut"]).convert("RGB").resize((1200, 1200)), (200, 900))
    scene.save(tmp_path / "large.jpg", quality=95)
    scene.resize((1024, 768)).save(tmp_path / "small.jpg", quality=95)
    (large,) = faces_of(open_picture(tmp_path / "large.jpg"))
    (small,) = faces_of(open_picture(tmp_path / "small.jpg"))
    assert close(large.bbox, small.bbox)
    assert large.quality > small.quality + 0.1


def test_two_faces_from_left_and_right(open_picture: OpenPicture, portraits: dict[str, Path]) -> None:
    faces = faces_of(open_picture(portraits["group_obama_biden"]))
    assert len(faces) == 2
    for face in faces:
        check_face(face)


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (19, 19), (600, 400)])
@pytest.mark.parametrize("colour", ["black", "white"])
def test_uniform_pictures_of_any_shape_hold_nobody(
    open_picture: OpenPicture, size: tuple[int, int], colour: str
) -> None:
    assert faces_of(open_picture(Image.new("RGB", size, colour))) == ()


def test_threads_at_once_find_the_same(open_picture: OpenPicture, photos: dict[str, Path]) -> None:
    detector = HaarFaceDetector()
    pictures = [open_picture(photos[name]) for name in ("astronaut", "coffee") * 4]
    with ThreadPoolExecutor(4) as pool:
        counts = [len(faces) for faces in pool.map(detector.detect, pictures)]
    assert counts == [1, 0] * 4


def test_confidence_starts_at_what_the_cascade_asks_for() -> None:
    stages = re.findall(r"<stageThreshold>([^<]+)<", CASCADE.read_text())
    assert float(stages[-1]) == LAST_STAGE_THRESHOLD
    assert confidence(LAST_STAGE_THRESHOLD) == 0
    assert confidence(LAST_STAGE_THRESHOLD + 0.7) == pytest.approx(0.5, abs=0.01)
    assert confidence(LAST_STAGE_THRESHOLD - 1) == 0


def test_quality_falls_with_blur_and_with_size(photos: dict[str, Path]) -> None:
    sharp = Image.open(photos["astronaut"]).convert("RGB").crop((170, 60, 282, 172))
    blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(3)))
    best = quality(200, np.asarray(sharp))
    assert best == quality(112, np.asarray(sharp)) > quality(50, np.asarray(sharp))
    assert best > quality(200, blurred) > 0
    assert quality(200, np.zeros((112, 112, 3), dtype=np.uint8)) == 0


def test_crop_shows_the_face_upright_in_rgb(open_picture: OpenPicture, photos: dict[str, Path]) -> None:
    (face,) = faces_of(open_picture(photos["astronaut"]))
    red, _, blue = np.asarray(Image.open(BytesIO(face.crop)))[40:80, 35:75].mean(axis=(0, 1))
    assert red > blue + 20
