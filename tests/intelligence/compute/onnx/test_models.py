from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intelligence.compute.base import ComputeError, ComputeSettings
from intelligence.compute.baseline.models import BaselineModels
from intelligence.compute.onnx.face_embedder import FaceFamily
from intelligence.compute.onnx.files import file_sha256
from intelligence.compute.onnx.models import ChosenFiles, OnnxModels
from intelligence.compute.onnx.session import SessionSettings
from intelligence.compute.validation import check_face, check_vector
from intelligence.vocabulary import TaskType
from tests.intelligence.compute.onnx.layouts import write_immich, write_token_tower
from tests.intelligence.compute.pictures import OpenPicture

PIXELS = 3 * 224 * 224


@pytest.fixture
def real_faces(model_files: dict[str, Path]) -> ChosenFiles:
    return ChosenFiles(
        detector=model_files["face_detection_yunet_dynamic"],
        face=model_files["mobilefacenet_foamliu_112x112"],
        face_family=FaceFamily.IMAGENET,
    )


@pytest.fixture
def for_faces(compute_settings: ComputeSettings) -> ComputeSettings:
    return replace(compute_settings, face_dimension=128)


def test_same_person_by_way_of_the_crop(
    real_faces: ChosenFiles,
    for_faces: ComputeSettings,
    open_picture: OpenPicture,
    portraits: dict[str, Path],
) -> None:
    """As jobs do it: the crop that detection gives is what the embedder sees."""
    models = OnnxModels(real_faces, for_faces, SessionSettings())

    def vectors(name: str) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        found = models.detect_faces(open_picture(portraits[name]))
        for face in found:
            check_face(face)
        crops = [Image.open(BytesIO(face.crop)) for face in found]
        return [models.embed(TaskType.FACE_EMBEDDING, open_picture(crop)) for crop in crops]

    (obama,), (biden,) = vectors("obama_1"), vectors("biden_1")
    in_group = [check_vector(vector, dimension=128) for vector in vectors("group_obama_biden")]
    assert sorted(float(obama @ one) > 0.5 for one in in_group) == [False, False, True]
    assert sorted(float(biden @ one) > 0.5 for one in in_group) == [False, False, True]


def test_names_carry_the_content_of_the_files(
    real_faces: ChosenFiles, for_faces: ComputeSettings, model_files: dict[str, Path]
) -> None:
    infos = OnnxModels(real_faces, for_faces, SessionSettings()).capabilities().models
    assert set(infos) == {TaskType.FACE_DETECTION, TaskType.FACE_EMBEDDING}
    sha256 = file_sha256(model_files["mobilefacenet_foamliu_112x112"])
    face = infos[TaskType.FACE_EMBEDDING]
    assert face.name == f"mobilefacenet-foamliu-112x112-{sha256[:12]}"
    assert (face.dimension, face.recognises_people) == (128, True)


def test_the_file_says_how_many_dimensions_there_are_whatever_is_configured(
    real_faces: ChosenFiles, compute_settings: ComputeSettings
) -> None:
    assert compute_settings.face_dimension == 512
    models = OnnxModels(real_faces, compute_settings, SessionSettings())
    assert models.capabilities().models[TaskType.FACE_EMBEDDING].dimension == 128


def test_pictures_and_words_meet_in_one_model(
    tmp_path: Path, compute_settings: ComputeSettings, open_picture: OpenPicture
) -> None:
    chosen = ChosenFiles(
        clip=write_immich(tmp_path / "clip"), dino=write_token_tower(tmp_path / "dinov2.onnx")
    )
    settings = replace(compute_settings, clip_dimension=PIXELS, dino_dimension=PIXELS)
    models = OnnxModels(chosen, settings, SessionSettings())
    picture = open_picture(Image.new("RGB", (300, 200), "teal"))
    for task in (TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING):
        check_vector(models.embed(task, picture), dimension=PIXELS)
    assert models.capabilities().models[TaskType.CLIP_EMBEDDING].understands_text
    assert "understands text" in models.capabilities().summary
    assert models.embed_text("a cat").shape == (77,)
    with pytest.raises(ComputeError, match="No model is active that does face_detection"):
        models.detect_faces(picture)


def test_others_do_what_no_file_does(
    real_faces: ChosenFiles,
    for_faces: ComputeSettings,
    compute_settings: ComputeSettings,
    open_picture: OpenPicture,
) -> None:
    models = OnnxModels(real_faces, for_faces, SessionSettings(), others=BaselineModels(compute_settings))
    capabilities = models.capabilities()
    assert set(capabilities.models) == set(TaskType)
    assert capabilities.models[TaskType.CLIP_EMBEDDING].name.startswith("baseline")
    assert "recognises people" in capabilities.summary
    assert "understands no text" in capabilities.summary
    picture = open_picture(Image.new("RGB", (300, 200), "teal"))
    check_vector(models.embed(TaskType.CLIP_EMBEDDING, picture), dimension=512)
    with pytest.raises(ComputeError, match="understands text"):
        models.embed_text("a cat")
