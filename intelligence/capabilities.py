"""What the workers' models can do: told by a worker in a row, so that the web side can tell without any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from entities.models import ServiceConfig

KEY = "compute_models"


@dataclass(frozen=True)
class ModelFacts:
    """Of a model that makes vectors of images."""

    understands_text: bool
    near_duplicates_from: float | None
    """The cosine from which two images are taken for copies of one; None where nobody has measured it."""


def tell(models: Mapping[str, ModelFacts]) -> None:
    """By name. Written only where it differs."""
    value = {name: asdict(facts) for name, facts in models.items()}
    row = ServiceConfig.objects.filter(key=KEY).first()
    if row is None or row.value != value:
        ServiceConfig.objects.update_or_create(key=KEY, defaults={"value": value})


def read(model: str | None) -> ModelFacts | None:
    """None until a worker has told of this model."""
    row = ServiceConfig.objects.filter(key=KEY).first()
    told: Any = row.value.get(model or "") if row is not None and isinstance(row.value, dict) else None
    try:
        return ModelFacts(**told)
    except TypeError:  # none, or written by somebody else
        return None
