"""What the workers' models can do: told by a worker in a row, so that the web side can tell without any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from entities.models import ServiceConfig

KEY = "compute_models"
SUMMARY_KEY = "compute_summary"


@dataclass(frozen=True)
class ModelFacts:
    """Of a model that makes vectors."""

    understands_text: bool
    near_duplicates_from: float | None
    """The cosine from which two images are taken for copies of one; None where nobody has measured it."""
    same_person_from: float | None = None
    """The cosine from which two good crops of faces show one person; None: it recognises nobody."""


def tell(models: Mapping[str, ModelFacts], summary: str = "") -> None:
    """By name; and what those that are read can and cannot do. Written only where it differs."""
    _tell(KEY, {name: asdict(facts) for name, facts in models.items()})
    if summary:
        _tell(SUMMARY_KEY, summary)


def _tell(key: str, value: Any) -> None:
    row = ServiceConfig.objects.filter(key=key).first()
    if row is None or row.value != value:
        ServiceConfig.objects.update_or_create(key=key, defaults={"value": value})


def summary() -> str:
    """One line for people. Empty until a worker has told."""
    row = ServiceConfig.objects.filter(key=SUMMARY_KEY).first()
    return str(row.value) if row is not None else ""


def read(model: str | None) -> ModelFacts | None:
    """None until a worker has told of this model."""
    row = ServiceConfig.objects.filter(key=KEY).first()
    told: Any = row.value.get(model or "") if row is not None and isinstance(row.value, dict) else None
    try:
        return ModelFacts(**told)
    except TypeError:  # none, or written by somebody else
        return None
