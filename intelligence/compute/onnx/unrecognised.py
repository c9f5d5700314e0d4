"""What lies in the models folder and is no model that can be used, and what it lacks for that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.files import is_lfs_pointer
from intelligence.compute.onnx.graph import read_graph
from intelligence.compute.onnx.installed import DEEPEST, IMMICH_TASKS, installed
from intelligence.model_entries import REGISTRY
from intelligence.model_registry import Registry

_LAYOUTS = {
    "visual": ("visual/model.onnx",),
    "textual": ("visual/model.onnx",),
    "detection": ("detection/model.onnx",),
    "recognition": ("recognition/model.onnx",),
    "onnx": ("onnx/model.onnx", "onnx/vision_model.onnx"),
}
"""Of a folder that has the folder named, what makes it a model: one of these."""


@dataclass(frozen=True)
class Unrecognised:
    name: str
    """Relative to the models folder."""
    why: str


def unrecognised(models_dir: Path, registry: Registry = REGISTRY) -> tuple[Unrecognised, ...]:
    models = {model.folder for model in installed(models_dir, registry)}
    used = models | {parent for model in models for parent in model.parents}
    found = _outermost(models_dir, used)
    return tuple(
        Unrecognised(path.relative_to(models_dir).as_posix(), _why(path, registry)) for path in found
    )


def _outermost(folder: Path, used: set[Path], depth: int = 1) -> Iterator[Path]:
    """Folders without a model in them, and ONNX files; not what lies in those or in models."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or (path.is_file() and path.suffix != ".onnx"):
            continue
        holds_models = path in used or path.name in IMMICH_TASKS
        if not holds_models:
            yield path
        elif path.is_dir() and depth < DEEPEST and not _is_model(path, used):
            yield from _outermost(path, used, depth + 1)


def _is_model(path: Path, used: set[Path]) -> bool:
    return path in used and not any(path in other.parents for other in used)


def _why(path: Path, registry: Registry) -> str:
    if path.is_file():
        return _why_file(path)
    entry = registry.named(path.name)
    if entry is not None:
        missing = [file.path for file in entry.files if not (path / file.path).is_file()]
        return f"to be {entry.name} it lacks {', '.join(missing)}"
    for part, either in _LAYOUTS.items():
        if (path / part).is_dir():
            return f"it lacks {' or '.join(either)}{_instead(path / part)}"
    files = sorted(path.rglob("*.onnx"))
    if not files:
        return "it holds no ONNX file"
    return "; ".join(f"{file.relative_to(path).as_posix()} {_why_file(file)}" for file in files)


def _instead(folder: Path) -> str:
    """Exports of other precision are left alone: their results are not those that thresholds are for."""
    others = [file.name for file in sorted(folder.glob("*.onnx"))]
    return f" (there is {', '.join(others)})" if others else ""


def _why_file(file: Path) -> str:
    try:
        if is_lfs_pointer(file):
            return "is a Git LFS pointer, not the model: fetch the file itself"
        graph = read_graph(file)
    except ModelFileError:
        return "is no ONNX model, or is cut short"
    inputs = ", ".join(f"{name} {list(shape)}" for name, shape in graph.inputs.items())
    return f"takes {inputs} and gives {', '.join(graph.outputs)}: no kind of model that is known here"
