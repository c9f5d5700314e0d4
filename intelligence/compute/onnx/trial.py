"""Whether model files work, before anything relies on them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from intelligence.compute.base import ChosenModel, ComputeSettings, ModelInfo
from intelligence.compute.baseline.models import BaselineModels
from intelligence.compute.onnx.chosen import chosen_part
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.models import OnnxModels
from intelligence.compute.picture import Picture
from intelligence.compute.validation import check_vector
from intelligence.model_registry import BASELINE
from intelligence.vocabulary import TaskType

_SIDE = 128
_FAILURES: tuple[type[Exception], ...] = (ValueError, ArithmeticError, *OnnxModels.failures)


def tried(settings: ComputeSettings, chosen: ChosenModel) -> ModelInfo:
    """What the model says of itself, once it has answered for a grey image. ModelFileError if it does not."""
    if chosen.name == BASELINE:
        return BaselineModels(settings).capabilities().models[chosen.task]
    part, known = chosen_part(settings, chosen)
    models = OnnxModels({chosen.task: part}, settings, known)
    try:
        _look(models, chosen.task, models.capabilities().models[chosen.task])
    except _FAILURES as error:
        raise ModelFileError(f"{part.file} does not work as {part.family}: {error}") from error
    return models.capabilities().models[chosen.task]


def _look(models: OnnxModels, task: TaskType, info: ModelInfo) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grey.png"
        Image.effect_noise((_SIDE, _SIDE), 64).convert("RGB").save(path)
        picture = Picture(path, max_pixels=_SIDE * _SIDE)
        if task is TaskType.FACE_DETECTION:
            models.detect_faces(picture)
            return
        check_vector(models.embed(task, picture), dimension=info.dimension)
    if info.understands_text:
        check_vector(models.embed_text("a photo of a cat"), dimension=info.dimension)
