"""Which models lie in the models folder: pulled, or copied there by hand. Needs no model runtime.

Recognised are the layouts of Immich (`detection/`, `recognition/`, `visual/`, `textual/`, also inside the
tree of its cache, `<task>/<model>/[<revision>/]`), of transformers.js (`onnx/`), and folders of bare ONNX
files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.files import file_sha256
from intelligence.compute.onnx.graph import GraphSummary, read_graph
from intelligence.model_entries import REGISTRY
from intelligence.model_registry import BASELINE, Family, ModelEntry, Registry
from intelligence.vocabulary import TaskType

IMMICH_TASKS = ("facial-recognition", "clip")
"""Folders of Immich's cache that hold its models."""
DEEPEST = 3  # task, model, revision

_MODEL = "model.onnx"
_IMMICH = {
    f"detection/{_MODEL}": (TaskType.FACE_DETECTION, Family.SCRFD),
    f"recognition/{_MODEL}": (TaskType.FACE_EMBEDDING, Family.ARCFACE),
    f"visual/{_MODEL}": (TaskType.CLIP_EMBEDDING, Family.OPEN_CLIP),
}
_TRANSFORMERS = {
    "onnx/vision_model.onnx": (TaskType.CLIP_EMBEDDING, Family.TRANSFORMERS_CLIP),
    f"onnx/{_MODEL}": (TaskType.DINO_EMBEDDING, Family.DINOV2),
}

_YUNET_OUTPUT = "cls_8"
_SCRFD_OUTPUTS = (6, 9, 10, 15)
_FACE_SIDE = 112
_IMAGE_RANK = 4
_DINO_OUTPUTS = ("pooler_output", "last_hidden_state")
_DINO_DIMENSIONS = (384, 768, 1024, 1536)


@dataclass(frozen=True)
class Part:
    """What of a model does one task."""

    path: Path
    """What the openers of `layouts` take: the folder, or the bare file."""
    file: Path
    """The ONNX file itself."""
    family: Family
    """What it is known to be, or else what its layout suggests."""


@dataclass(frozen=True)
class InstalledModel:
    name: str
    folder: Path
    """Or the bare file."""
    parts: Mapping[TaskType, Part]
    entry: ModelEntry | None
    """What is known of it, by its name or by its content."""


def installed(models_dir: Path, registry: Registry = REGISTRY) -> tuple[InstalledModel, ...]:
    """By name; none where there is no such folder. A name that two folders have becomes their path."""
    found = [_identified(model, registry) for model in _walk(models_dir, models_dir)]
    names = Counter(model.name for model in found)
    told = (
        model
        if names[model.name] == 1
        else replace(model, name=model.folder.relative_to(models_dir).as_posix())
        for model in found
    )
    return tuple(sorted(told, key=lambda model: model.name.lower()))


def find(models_dir: Path, name: str, registry: Registry = REGISTRY) -> InstalledModel:
    """By the name of its folder, or that of the registry. ModelFileError if it is not there."""
    found = installed(models_dir, registry)
    wanted = name.lower()
    for model in found:
        if model.name.lower() == wanted:
            return model
    for model in found:
        if model.entry is not None and model.entry.name.lower() == wanted:
            return model
    there = ", ".join([BASELINE, *(model.name for model in found)])
    raise ModelFileError(f"There is no model {name!r} in {models_dir}; there are: {there}.")


def _walk(folder: Path, root: Path, depth: int = 0) -> Iterator[InstalledModel]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        parts = _parts(path)
        if parts:
            yield InstalledModel(_name(path.relative_to(root)), path, parts, None)
        elif depth + 1 < DEEPEST:
            yield from _walk(path, root, depth + 1)


def _name(place: Path) -> str:
    if len(place.parts) == DEEPEST and place.parts[0] in IMMICH_TASKS:
        return place.parts[1]
    return place.name.removesuffix(".onnx")


def _parts(path: Path) -> dict[TaskType, Part]:
    if path.is_file():
        return _bare([path]) if path.suffix == ".onnx" else {}
    laid_out = {
        task: Part(path, path / inside, family)
        for inside, (task, family) in (_IMMICH | _TRANSFORMERS).items()
        if (path / inside).is_file()
    }
    return laid_out or _bare(sorted(path.glob("*.onnx")))


def _bare(files: Iterable[Path]) -> dict[TaskType, Part]:
    """By what the files say of themselves. Where two do the same task, each is a model of its own."""
    kinds = [(kind, file) for file in files if (kind := _kind(file)) is not None]
    number = Counter(task for (task, _), _ in kinds)
    if any(times > 1 for times in number.values()):
        return {}
    return {task: Part(file, file, family) for (task, family), file in kinds}


def _kind(file: Path) -> tuple[TaskType, Family] | None:
    try:
        graph = read_graph(file)
    except ModelFileError:
        return None
    shapes = [shape for shape in graph.inputs.values() if len(shape) == _IMAGE_RANK]
    if len(graph.inputs) != 1 or not shapes:
        return None
    if _YUNET_OUTPUT in graph.outputs:
        return TaskType.FACE_DETECTION, Family.YUNET
    if len(graph.outputs) in _SCRFD_OUTPUTS:
        return TaskType.FACE_DETECTION, Family.SCRFD
    if _FACE_SIDE in shapes[0]:
        return (TaskType.FACE_EMBEDDING, Family.ARCFACE) if len(graph.outputs) == 1 else None
    return (TaskType.DINO_EMBEDDING, Family.DINOV2) if _is_dino(graph) else None


def _is_dino(graph: GraphSummary) -> bool:
    return any(
        name in _DINO_OUTPUTS or shape[-1:] in [(dimension,) for dimension in _DINO_DIMENSIONS]
        for name, shape in graph.outputs.items()
    )


def _identified(model: InstalledModel, registry: Registry) -> InstalledModel:
    entry = registry.named(model.name) or _by_content(model, registry)
    if entry is None:
        return model
    parts = {
        task: replace(part, family=entry.families.get(task, part.family))
        for task, part in model.parts.items()
    }
    return replace(model, parts=parts, entry=entry)


def _by_content(model: InstalledModel, registry: Registry) -> ModelEntry | None:
    sizes = registry.sizes()
    for part in model.parts.values():
        if part.file.stat().st_size in sizes and (known := registry.with_file(file_sha256(part.file))):
            return known
    return None
