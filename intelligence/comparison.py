"""How much the answers of two models differ: the nearest neighbours of the same images, or faces, by each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from intelligence import model_versions
from intelligence.vocabulary import TaskType
from intelligence.wanted_models import WantedModels
from vectors import Filter, Hit, Match, QdrantVectorStore

MOST_UNLIKE = 10
NOT_HIDDEN = Filter(must_not=(Match("hidden", 1),))


class ComparisonError(Exception):
    """There is nothing to compare; the message says why."""


@dataclass(frozen=True)
class Comparison:
    current: str
    other: str
    neighbours: int
    compared: int
    overlap: float
    """Of the neighbours of each, how many both name, on average; 0..1."""
    current_score: float
    other_score: float
    """The mean cosine of all neighbours. Each model has a scale of its own."""
    most_unlike: tuple[tuple[int, float], ...]
    """Ids with their overlap."""


def compare(
    models: WantedModels, task: TaskType, *, ids: Sequence[int] = (), sample: int = 100, neighbours: int = 10
) -> Comparison:
    """Without ids: a sample that stays the same as long as the vectors do, spread over all of them."""
    current, other = model_versions.of_task(task)
    if current is None or other is None:
        raise ComparisonError(f"There is no second model of {task} to compare with.")
    store = models.stores[task]
    chosen = list(ids) or _spread(list(store.ids(after=-1, last=None, model=other.model)), sample)
    pairs = {
        pk: (mine, others)
        for pk in chosen
        if (mine := _nearest(store, pk, current.model, neighbours))
        and (others := _nearest(store, pk, other.model, neighbours))
    }
    if not pairs:
        raise ComparisonError("None of these has neighbours by both models yet.")
    overlaps = {
        pk: len({hit.id for hit in mine} & {hit.id for hit in others}) / max(len(mine), len(others))
        for pk, (mine, others) in pairs.items()
    }
    return Comparison(
        current.model,
        other.model,
        neighbours,
        len(pairs),
        fmean(overlaps.values()),
        fmean(hit.score for mine, _ in pairs.values() for hit in mine),
        fmean(hit.score for _, others in pairs.values() for hit in others),
        tuple(sorted(overlaps.items(), key=lambda pair: pair[1])[:MOST_UNLIKE]),
    )


def _nearest(store: QdrantVectorStore, id: int, model: str, limit: int) -> list[Hit]:
    return store.search_like(id, limit=limit, model=model, filter=NOT_HIDDEN) or []


def _spread(ids: Sequence[int], number: int) -> list[int]:
    step = max(1, len(ids) // number)
    return list(ids[::step][:number])
