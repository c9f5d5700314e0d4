"""Several sets of models behind the one interface: each task has its own, and perhaps further ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from intelligence.compute.base import Capabilities, ComputeError, DetectedFace, ModelInfo, Vector
from intelligence.compute.image_models import EmbedsTogether, ImageModels, KnowsTogether
from intelligence.compute.picture import Picture
from intelligence.model_registry import BASELINE
from intelligence.vocabulary import TaskType


class ModelSet:
    """Of each task the first leads; of embeddings the others answer where they are named."""

    def __init__(self, members: Mapping[TaskType, Sequence[ImageModels]]) -> None:
        self._doing = {task: _by_name(task, of_task) for task, of_task in members.items()}
        everybody = {id(member): member for of_task in members.values() for member in of_task}
        self.failures = tuple({failure for member in everybody.values() for failure in member.failures})
        alone = next(iter(everybody.values())) if len(everybody) == 1 else None
        self._capabilities = alone.capabilities() if alone else self._described()

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def detect_faces(self, picture: Picture) -> tuple[DetectedFace, ...]:
        return self._leading(TaskType.FACE_DETECTION).detect_faces(picture)

    def embed(self, task: TaskType, picture: Picture) -> Vector:
        return self._leading(task).embed(task, picture)

    def embed_with(self, model: str, task: TaskType, picture: Picture) -> Vector:
        return self._named(task, model).embed(task, picture)

    def embed_text(self, text: str) -> Vector:
        return self._leading(TaskType.CLIP_EMBEDDING).embed_text(text)

    def embed_text_with(self, model: str, text: str) -> Vector:
        return self._named(TaskType.CLIP_EMBEDDING, model).embed_text(text)

    def together(self, task: TaskType, model: str) -> EmbedsTogether | None:
        member = self._named(task, model)
        return member.together(task, model) if isinstance(member, KnowsTogether) else None

    def _leading(self, task: TaskType) -> ImageModels:
        for member in self._doing.get(task, {}).values():
            return member
        raise ComputeError(f"No model is active that does {task}.", permanent=True)

    def _named(self, task: TaskType, model: str) -> ImageModels:
        if model not in self._doing.get(task, {}):
            raise ComputeError(f"No model {model!r} is active that does {task}.")
        return self._doing[task][model]

    def _described(self) -> Capabilities:
        infos = {
            task: [member.capabilities().models[task] for member in members.values()]
            for task, members in self._doing.items()
            if members
        }
        models = {task: found[0] for task, found in infos.items()}
        further: dict[TaskType, tuple[ModelInfo, ...]] = {
            task: tuple(found[1:])
            for task, found in infos.items()
            if len(found) > 1 and task is not TaskType.FACE_DETECTION
        }
        return Capabilities(models, in_words(models), further)


def _by_name(task: TaskType, members: Sequence[ImageModels]) -> dict[str, ImageModels]:
    """Those that do the task; of two with the same model the first."""
    found: dict[str, ImageModels] = {}
    for member in members:
        info = member.capabilities().models.get(task)
        if info is not None:
            found.setdefault(info.name, member)
    return found


def in_words(models: Mapping[TaskType, ModelInfo]) -> str:
    """One line for people: what these can and cannot do."""
    told = [f"{_can(task, info)} ({_who(info)})" for task, info in models.items()]
    return f"{', '.join(told).capitalize()}."


def _can(task: TaskType, info: ModelInfo) -> str:
    if task is TaskType.FACE_DETECTION:
        return "finds frontal faces" if _is_built_in(info) else "finds faces"
    if task is TaskType.FACE_EMBEDDING:
        return "recognises people" if info.recognises_people else "recognises nobody"
    if task is TaskType.CLIP_EMBEDDING:
        text = "understands text" if info.understands_text else "understands no text"
        return text if _is_built_in(info) else f"finds images by what they show, {text}"
    return "finds near-duplicates" if info.near_duplicates_from is not None else "finds look-alikes"


def _who(info: ModelInfo) -> str:
    return "built in" if _is_built_in(info) else info.name


def _is_built_in(info: ModelInfo) -> bool:
    return info.name.startswith(f"{BASELINE}-")
