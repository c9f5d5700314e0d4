"""`manage.py models use`: from the name of a model to the images that are looked at with it. Workers only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from intelligence import redo, using_models
from intelligence.compute.base import ChosenModel, ComputeError
from intelligence.compute.local import LocalComputeClient
from intelligence.compute.onnx.checking import refuse_wrong
from intelligence.compute.onnx.installed import find
from intelligence.compute.onnx.trial import tried
from intelligence.model_choices import Choice
from intelligence.model_registry import BASELINE
from intelligence.model_versions import VersionError
from intelligence.processing import IntelligenceProcessingService, get_processing
from intelligence.using_models import Outcome
from intelligence.vocabulary import Priority, TaskType
from store_project.composition import MODEL_SETTINGS, compute_settings
from store_project.config import ConfigError, MInsightConfig
from vectors import VectorsInUseError

REEMBED = {
    TaskType.CLIP_EMBEDDING: "clip",
    TaskType.DINO_EMBEDDING: "dino",
    TaskType.FACE_EMBEDDING: "face",
}


class UseError(Exception):
    """Nothing was changed for the task; the message says why."""


def use(
    config: MInsightConfig,
    name: str,
    tasks: Sequence[TaskType],
    *,
    family: str,
    by: str | None,
    switch_when_done: bool,
) -> Iterator[str]:
    """Tells what it does. Raises UseError, ModelFileError."""
    name, does = _checked(config, name)
    for task in tasks or does:
        _require_free(config, name, task)
        info = tried(compute_settings(config), ChosenModel(task, name, family))
        choice = Choice(task, name, family, info.name, switch_when_done)
        yield f"{task}: {_taken_up(_processing(), choice, by=by)}"


def _checked(config: MInsightConfig, name: str) -> tuple[str, Sequence[TaskType]]:
    """As its folder is called, and what it does."""
    if name == BASELINE:
        return BASELINE, list(TaskType)
    model = find(config.models_root, name)
    refuse_wrong(model)
    return model.name, list(model.parts)


def _require_free(config: MInsightConfig, name: str, task: TaskType) -> None:
    setting = MODEL_SETTINGS[task]
    chosen = getattr(config, setting)
    if chosen not in ("", name):
        raise UseError(f"{setting.upper()} is set to {chosen}, which goes before: empty it first.")


def _processing() -> IntelligenceProcessingService:
    try:
        processing = get_processing()
    except ConfigError as error:
        raise UseError(str(error)) from error
    if not isinstance(processing.client, LocalComputeClient):
        raise UseError(f"Images are looked at by {processing.client.backend} compute, not by local models.")
    return processing


def _taken_up(processing: IntelligenceProcessingService, choice: Choice, *, by: str | None) -> str:
    try:
        outcome = using_models.take_up(processing, choice, by=by)
    except VersionError as error:
        raise UseError(f"{choice.task}: {error} (manage.py reembed --task {REEMBED[choice.task]})") from error
    except (ComputeError, VectorsInUseError) as error:
        raise UseError(f"{choice.task}: {error}") from error
    if outcome is Outcome.ACTIVE:
        return f"{choice.model} answers."
    if outcome is Outcome.REPLACED:
        number = sum(redo.ask_again(redo.all_ended(choice.task), Priority.REDO))
        return f"{choice.model} answers; {number} images are looked at again."
    return f"{choice.model} is filled in the background. {_how_it_goes_on(choice)}"


def _how_it_goes_on(choice: Choice) -> str:
    if choice.switch_when_done:
        return "Searches read it as soon as nothing is missing."
    task = REEMBED[choice.task]
    return f"How far it is: manage.py reembed --task {task} --status. Then: --switch."
