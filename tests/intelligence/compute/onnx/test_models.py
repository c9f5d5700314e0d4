from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intelligence.compute.base import ChosenModel, ComputeError, ComputeSettings
from intelligence.compute.baseline.models import BaselineModels
from intelligence.compute.model_set import ModelSet
from intelligence.compute.onnx.chosen import ChosenModels
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.files import file_sha256
from intelligence.compute.onnx.installed import Part
from intelligence.compute.onnx.models import OnnxModels
from intelligence.compute.validation import check_face, check_vector
from intelligence.model_registry import BASELINE, Family
from intelligence.vocabulary import TaskType
from tests.intelligence.compute.onnx.layouts import write_immich, write_token_tower
from tests.intelligence.compute.pictures import OpenPicture

DETECTION, FACES = TaskType.FACE_DETECTION, TaskType.FACE_EMBEDDING
CLIP, DINO = TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING
PIXELS = 3 * 224 * 224
YUNET, FACENET = "face_detection_yunet_dynamic", "mobilefacenet_foamliu_112x112"
REAL = (ChosenModel(DETECTION, YUNET), ChosenModel(FACES, FACENET))


@pytest.fixture
def installed_settings(model_files: dict[str, Path], compute_settings: ComputeSettings) -> ComputeSettings:
    return replace(compute_settings, models_dir=model_files[YUNET].parent)


def build(settings: ComputeSettings, *chosen: ChosenModel) -> ModelSet:
    return ChosenModels(settings, BaselineModels(settings)).build(chosen)


def part(path: Path, family: Family) -> Part:
    return Part(path, path, family)


def test_same_person_by_way_of_the_crop(
    installed_settings: ComputeSettings, open_picture: OpenPicture, portraits: dict[str, Path]
) -> None:
    """As jobs do it: the crop that detection gives is what the embedder sees."""
    models = build(installed_settings, *REAL)
    same = models.capabilities().models[FACES].same_person_from
    assert same is not None

    def vectors(name: str) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        found = models.detect_faces(open_picture(portraits[name]))
        for face in found:
            check_face(face)
        crops = [Image.open(BytesIO(face.crop)) for face in found]
        return [models.embed(FACES, open_picture(crop)) for crop in crops]

    (obama,), (biden,) = vectors("obama_1"), vectors("biden_1")
    in_group = [check_vector(vector, dimension=128) for vector in vectors("group_obama_biden")]
    assert sorted(float(obama @ one) > same for one in in_group) == [False, False, True]
    assert sorted(float(biden @ one) > same for one in in_group) == [False, False, True]


def test_each_has_its_name_and_what_is_known_of_it(
    installed_settings: ComputeSettings, model_files: dict[str, Path]
) -> None:
    capabilities = build(installed_settings, *REAL).capabilities()
    assert set(capabilities.models) == set(TaskType)
    face = capabilities.models[FACES]
    assert face.name == f"mobilefacenet-foamliu-112x112-{file_sha256(model_files[FACENET])[:12]}"
    assert (face.dimension, face.same_person_from) == (128, 0.5)
    assert "recognises people (mobilefacenet" in capabilities.summary
    assert "understands no text (built in)" in capabilities.summary


def test_the_baseline_stands_behind_and_may_lead(
    installed_settings: ComputeSettings, open_picture: OpenPicture
) -> None:
    """So that vectors of two face models can be made side by side."""
    models = build(installed_settings, ChosenModel(FACES, BASELINE), ChosenModel(FACES, FACENET))
    told = models.capabilities()
    (beside,) = told.further[FACES]
    assert told.models[FACES].name.startswith("baseline")
    assert beside.name.startswith("mobilefacenet")
    picture = open_picture(Image.effect_noise((112, 112), 64).convert("RGB"))
    check_vector(models.embed(FACES, picture), dimension=512)
    check_vector(models.embed_with(beside.name, FACES, picture), dimension=128)
    with pytest.raises(ComputeError, match="No model 'nobody' is active"):
        models.embed_with("nobody", FACES, picture)


def test_nothing_chosen_is_the_baseline(compute_settings: ComputeSettings) -> None:
    assert build(compute_settings).capabilities() == BaselineModels(compute_settings).capabilities()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (ChosenModel(DETECTION, "nobody"), "There is no model 'nobody' in .*; there are: baseline"),
        (ChosenModel(CLIP, "dinov2"), "dinov2 does not do clip_embedding, only dino_embedding"),
    ],
)
def test_what_is_not_there_is_named(
    tmp_path: Path, compute_settings: ComputeSettings, chosen: ChosenModel, words: str
) -> None:
    write_token_tower(tmp_path / "models" / "dinov2.onnx")
    with pytest.raises(ModelFileError, match=words):
        build(replace(compute_settings, models_dir=tmp_path / "models"), chosen)


def test_what_stays_chosen_stays_open(tmp_path: Path, compute_settings: ComputeSettings) -> None:
    write_token_tower(tmp_path / "models" / "dinov2.onnx")
    write_immich(tmp_path / "models" / "clip")
    settings = replace(compute_settings, models_dir=tmp_path / "models")
    chosen = ChosenModels(settings, BaselineModels(settings))
    clip, dino = ChosenModel(CLIP, "clip"), ChosenModel(DINO, "dinov2")
    before, after = chosen.build((clip, dino)), chosen.build((dino,))
    assert after._doing[DINO] == before._doing[DINO]
    assert list(after._doing[CLIP]) == ["baseline-dct-gist-512"]


def test_pictures_and_words_meet_in_one_model(
    tmp_path: Path, compute_settings: ComputeSettings, open_picture: OpenPicture
) -> None:
    write_immich(tmp_path / "models" / "first")
    write_immich(tmp_path / "models" / "second", mean=[0.5, 0.5, 0.5])
    settings = replace(compute_settings, models_dir=tmp_path / "models")
    models = build(settings, ChosenModel(CLIP, "first"), ChosenModel(CLIP, "second"))
    told = models.capabilities()
    assert [info.understands_text for info in told.offered(CLIP).values()] == [True, True, False]
    assert "understands text (first-" in told.summary
    picture = open_picture(Image.new("RGB", (300, 200), "teal"))
    second = told.further[CLIP][0].name
    vectors = [models.embed(CLIP, picture), models.embed_with(second, CLIP, picture)]
    assert [len(vector) for vector in vectors] == [PIXELS, PIXELS]
    assert float(vectors[0] @ vectors[1]) < 0.9999  # each by its own mean
    assert models.embed_text("a cat").shape == models.embed_text_with(second, "a cat").shape == (77,)


def test_a_model_does_what_it_has_files_for(
    tmp_path: Path, compute_settings: ComputeSettings, open_picture: OpenPicture
) -> None:
    dino = write_token_tower(tmp_path / "dinov2.onnx")
    models = OnnxModels({DINO: part(dino, Family.DINOV2)}, compute_settings)
    picture = open_picture(Image.new("RGB", (300, 200), "teal"))
    check_vector(models.embed(DINO, picture), dimension=PIXELS)
    for ask in (
        lambda: models.detect_faces(picture),
        lambda: models.embed(CLIP, picture),
        lambda: models.embed_text("a cat"),
    ):
        with pytest.raises(ComputeError, match="No model is active that"):
            ask()


def test_a_face_model_is_of_a_family_of_face_models(
    tmp_path: Path, compute_settings: ComputeSettings
) -> None:
    dino = write_token_tower(tmp_path / "dinov2.onnx")
    with pytest.raises(ModelFileError, match="dinov2 is no family of face models: arcface, sface"):
        OnnxModels({FACES: part(dino, Family.DINOV2)}, compute_settings)
