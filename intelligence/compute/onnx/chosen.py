"""From the models that are chosen to those that answer."""

from __future__ import annotations

from dataclasses import replace

from intelligence.compute.base import ChosenModel, ComputeSettings
from intelligence.compute.image_models import ImageModels
from intelligence.compute.model_set import ModelSet
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.installed import Part, find
from intelligence.compute.onnx.models import OnnxModels
from intelligence.model_registry import BASELINE, Family, ModelEntry
from intelligence.vocabulary import TaskType

_Key = tuple[TaskType, Part]


class ChosenModels:
    """Makes a set of what is chosen. Models that stay chosen keep their loaded sessions."""

    def __init__(self, settings: ComputeSettings, baseline: ImageModels) -> None:
        self._settings = settings
        self._baseline = baseline
        self._open: dict[_Key, OnnxModels] = {}

    def build(self, chosen: tuple[ChosenModel, ...]) -> ModelSet:
        """ModelFileError if one of them is missing, or not understood. The baseline stands behind all."""
        members: dict[TaskType, list[ImageModels]] = {task: [] for task in TaskType}
        stay: dict[_Key, OnnxModels] = {}
        for each in chosen:
            if each.name == BASELINE:
                members[each.task].append(self._baseline)
                continue
            part, known = chosen_part(self._settings, each)
            key = (each.task, part)
            stay[key] = self._open.get(key) or OnnxModels({each.task: part}, self._settings, known)
            members[each.task].append(stay[key])
        self._open = stay
        return ModelSet({task: [*of_task, self._baseline] for task, of_task in members.items()})


def chosen_part(settings: ComputeSettings, chosen: ChosenModel) -> tuple[Part, ModelEntry | None]:
    model = find(settings.models_dir, chosen.name)
    part = model.parts.get(chosen.task)
    if part is None:
        raise ModelFileError(f"{chosen.name} does not do {chosen.task}, only {', '.join(model.parts)}.")
    return replace(part, family=Family(chosen.family)) if chosen.family else part, model.entry
