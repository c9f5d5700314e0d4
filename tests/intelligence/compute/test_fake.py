from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from intelligence.compute.base import ComputeSettings
from intelligence.compute.fake import FakeModels, face_box
from intelligence.compute.validation import check_face, check_vector
from intelligence.vocabulary import TaskType
from tests.intelligence.compute.pictures import OpenPicture


def of_seed(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def painted(*colours: str) -> Image.Image:
    """A picture on which the fake finds one face of each colour."""
    image = Image.new("RGB", (256, 256), "black")
    for number, colour in enumerate(colours):
        box = face_box(number, len(colours))
        image.paste(colour, (int(box.x1 * 256), int(box.y1 * 256), int(box.x2 * 256), int(box.y2 * 256)))
    return image


def test_vectors_have_the_dimensions_of_the_settings(
    compute_settings: ComputeSettings, open_picture: OpenPicture
) -> None:
    models = FakeModels(replace(compute_settings, clip_dimension=768, dino_dimension=3, face_dimension=128))
    for task, dimension in zip(list(TaskType)[1:], (768, 3, 128), strict=True):
        check_vector(models.embed(task, open_picture(of_seed(0))), dimension=dimension)
        assert models.capabilities().models[task].dimension == dimension


def test_the_third_of_each_kind_has_more_dimensions(
    compute_settings: ComputeSettings, open_picture: OpenPicture
) -> None:
    models = FakeModels(compute_settings)
    for task, further in models.capabilities().further.items():
        wide = further[-1]
        assert wide.dimension == models._dimensions[task] * 3 // 2
        check_vector(models.embed_with(wide.name, task, open_picture(of_seed(0))), dimension=wide.dimension)
    check_vector(models.embed_text_with("fake3-clip-768", "a dog"), dimension=768)


def test_picture_decides_how_many_faces_it_has(
    compute_settings: ComputeSettings, open_picture: OpenPicture
) -> None:
    models = FakeModels(compute_settings)
    counts = [len(models.detect_faces(open_picture(of_seed(seed)))) for seed in range(20)]
    again = [len(models.detect_faces(open_picture(of_seed(seed)))) for seed in range(20)]
    assert counts == again
    assert set(counts) == {0, 1, 2}


@pytest.mark.parametrize("count", [0, 1, 2, 5, 30])
def test_number_of_faces_can_be_set(
    compute_settings: ComputeSettings, open_picture: OpenPicture, count: int
) -> None:
    faces = FakeModels(compute_settings, faces=count).detect_faces(open_picture(of_seed(0)))
    assert len(faces) == count
    for face in faces:
        check_face(face)
    assert all(left.bbox.x2 <= right.bbox.x1 + 1e-9 for left, right in pairwise(faces))


def test_faces_of_one_colour_are_one_person(
    compute_settings: ComputeSettings, open_picture: OpenPicture
) -> None:
    models = FakeModels(compute_settings, faces=3)
    faces = models.detect_faces(open_picture(painted("red", "#f00010", "blue")))
    crops = [Image.open(BytesIO(face.crop)) for face in faces]
    one, same, other = (models.embed(TaskType.FACE_EMBEDDING, open_picture(crop)) for crop in crops)
    assert 0.8 < one @ same < 0.99
    assert abs(one @ other) < 0.3
