"""What `manage.py models list` tells: what is in use, what is installed, what else is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from intelligence import capabilities, figures, model_choices
from intelligence.compute.onnx.installed import InstalledModel, installed
from intelligence.compute.onnx.unrecognised import Unrecognised, unrecognised
from intelligence.figures import ModelFigures
from intelligence.model_entries import REGISTRY
from intelligence.model_registry import BASELINE, Commercial, ModelEntry
from intelligence.vocabulary import TaskType
from store_project.composition import MODEL_SETTINGS
from store_project.config import MInsightConfig

UNTOLD = "No worker has told yet what the models can do."
_COMMERCIAL = {
    Commercial.YES: "any use",
    Commercial.NO: "no commercial use",
    Commercial.CONDITIONS: "with conditions",
}

_MEANING = {
    TaskType.FACE_DETECTION: "a face",
    TaskType.FACE_EMBEDDING: "the same person",
    TaskType.CLIP_EMBEDDING: "near-duplicates",
    TaskType.DINO_EMBEDDING: "near-duplicates",
}


@dataclass(frozen=True)
class Overview:
    folder: str
    summary: str
    """In the words of a worker."""
    chosen: dict[TaskType, str]
    """The name of the model that leads each task, by the settings or by `models use`."""
    versions: tuple[ModelFigures, ...]
    """Whose vectors are kept."""
    installed: tuple[InstalledModel, ...]
    unrecognised: tuple[Unrecognised, ...]
    """What else lies there."""

    @property
    def known(self) -> tuple[ModelEntry, ...]:
        """Those that are not installed."""
        here = {model.entry.name for model in self.installed if model.entry is not None}
        return tuple(entry for entry in REGISTRY.entries if entry.name not in here)


def read(config: MInsightConfig) -> Overview:
    chosen = {task: getattr(config, setting) for task, setting in MODEL_SETTINGS.items()}
    for choice in model_choices.read():
        chosen[choice.task] = chosen[choice.task] or choice.name
    return Overview(
        folder=str(config.models_root),
        summary=capabilities.summary() or UNTOLD,
        chosen={task: name or BASELINE for task, name in chosen.items()},
        versions=figures.read_models(),
        installed=installed(config.models_root),
        unrecognised=unrecognised(config.models_root),
    )


def in_words(overview: Overview) -> list[str]:
    lines = [overview.summary, ""]
    lines += [f"{task}: {name}" for task, name in overview.chosen.items()]
    lines += [f"  {figures.model_in_words(each)}" for each in overview.versions]
    lines += ["", f"Installed in {overview.folder}:"]
    lines += [line for model in overview.installed for line in _installed_lines(model)] or ["  none"]
    if overview.unrecognised:
        lines += ["", "Lies there too, and cannot be used:"]
        lines += [f"  {each.name}: {each.why}" for each in overview.unrecognised]
    lines += ["", "Known, to be pulled or copied there (* the proposed set):"]
    lines += [_known_line(entry) for entry in overview.known]
    return lines


def _installed_lines(model: InstalledModel) -> list[str]:
    entry = model.entry
    thresholds = {} if entry is None else {task: entry.threshold(task) for task in model.parts}
    return [
        _installed_line(model),
        *(
            f"    {_MEANING[task]} from {each.value:g}: {each.source}"
            for task, each in thresholds.items()
            if each is not None
        ),
    ]


def _installed_line(model: InstalledModel) -> str:
    tasks = _tasks(model.parts)
    if model.entry is None:
        families = ", ".join(part.family for part in model.parts.values())
        return f"  {model.name}: {tasks}; not known by name or content, taken for {families}"
    return f"  {model.name}: {tasks}; {_about(model.entry)}"


def _known_line(entry: ModelEntry) -> str:
    mark = "*" if entry.is_default else " "
    by_hand = "" if entry.repository else " Only by hand."
    return f"{mark} {entry.name}: {_tasks(entry.tasks)}; {_about(entry)}{by_hand}"


def _about(entry: ModelEntry) -> str:
    memory = f", about {entry.memory_mb} MB" if entry.memory_mb else ""
    licence = f"{entry.licence.name}, {_COMMERCIAL[entry.licence.commercial]}"
    return f"{entry.about} ({licence}{memory})"


def _tasks(tasks: Iterable[TaskType]) -> str:
    return " + ".join(task.replace("_", " ") for task in tasks)


def as_json(overview: Overview) -> dict[str, Any]:
    return {
        "summary": overview.summary,
        "in_use": {task.value: name for task, name in overview.chosen.items()},
        "versions": [figures.model_as_json(each) for each in overview.versions],
        "folder": overview.folder,
        "installed": [
            {
                "name": model.name,
                "tasks": [task.value for task in model.parts],
                "families": {task.value: part.family.value for task, part in model.parts.items()},
                "known_as": model.entry and model.entry.name,
                "licence": model.entry and model.entry.licence.name,
            }
            for model in overview.installed
        ],
        "unrecognised": [{"name": each.name, "why": each.why} for each in overview.unrecognised],
        "known": [_entry_as_json(entry) for entry in overview.known],
    }


def _entry_as_json(entry: ModelEntry) -> dict[str, Any]:
    thresholds = {task: entry.threshold(task) for task in entry.tasks}
    return {
        "name": entry.name,
        "tasks": [task.value for task in entry.tasks],
        "repository": entry.repository,
        "licence": entry.licence.name,
        "commercial_use": entry.licence.commercial.value,
        "dimension": entry.dimension,
        "memory_mb": entry.memory_mb,
        "default": entry.is_default,
        "thresholds": {
            task.value: {"value": each.value, "source": each.source}
            for task, each in thresholds.items()
            if each is not None
        },
    }
