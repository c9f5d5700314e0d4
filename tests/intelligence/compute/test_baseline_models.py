from __future__ import annotations

from dataclasses import replace

from PIL import Image

from intelligence.compute.base import ComputeSettings
from intelligence.compute.baseline.models import BaselineModels
from intelligence.vocabulary import TaskType
from tests.intelligence.compute.pictures import OpenPicture


def test_says_what_it_cannot_do(compute_settings: ComputeSettings) -> None:
    capabilities = BaselineModels(compute_settings).capabilities()
    assert set(capabilities.models) == set(TaskType)
    assert not any(
        model.recognises_people or model.understands_text for model in capabilities.models.values()
    )
    assert "recognises nobody" in capabilities.summary
    assert "understands no text" in capabilities.summary


def test_gives_the_dimensions_it_names(compute_settings: ComputeSettings, open_picture: OpenPicture) -> None:
    models = BaselineModels(compute_settings)
    picture = open_picture(Image.new("RGB", (112, 112), "teal"))
    for task in (TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING, TaskType.FACE_EMBEDDING):
        model = models.capabilities().models[task]
        assert models.embed(task, picture).shape == (model.dimension,)
        assert model.name.endswith(f"-{model.dimension}")


def test_settings_do_not_change_what_they_give(compute_settings: ComputeSettings) -> None:
    models = BaselineModels(replace(compute_settings, clip_dimension=768, dino_dimension=1024))
    assert models.capabilities() == BaselineModels(compute_settings).capabilities()
