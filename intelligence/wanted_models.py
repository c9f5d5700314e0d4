"""The models that images are looked at with: those that rows of the database want and compute offers."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from intelligence import model_versions
from intelligence.compute.base import ComputeClient
from intelligence.model_versions import KINDS, VersionError
from intelligence.models import ModelVersion
from intelligence.vocabulary import TaskType
from vectors import QdrantVectorStore

logger = logging.getLogger(__name__)

BY_CONFIGURATION = "the configuration"


@dataclass(frozen=True)
class WantedModels:
    client: ComputeClient
    stores: Mapping[TaskType, QdrantVectorStore]
    """Of each task that makes vectors."""

    def wanted(self) -> dict[TaskType, tuple[str, ...]]:
        """Of each task the leading one first: the one that fresh uploads are looked at with before all else,
        and that the rows of images tell about. It is the current one as long as compute offers that.
        """
        kept = self._kept()
        names = {task: tuple(each.model for each in kept.get(task, ())) for task in TaskType}
        models = self.client.capabilities().models
        return {
            task: names[task] or (self._begin(task) if task in KINDS else model.name,)
            for task, model in models.items()
        }

    def beside(self) -> list[ModelVersion]:
        """The wanted ones that do not lead; their work is done in the background."""
        return [version for versions in self._kept().values() for version in versions[1:]]

    def begin(self, task: TaskType, model: str, *, by: str | None) -> bool:
        """As model_versions.start, for a model that compute offers."""
        self.wanted()  # the current one is written down first
        offered = self.client.capabilities().offered(task)
        if model not in offered:
            raise VersionError(f"Compute does not offer {model!r} for {task}, only {', '.join(offered)}.")
        return model_versions.start(task, model, dimension=offered[model].dimension, by=by)

    def params(self, task: TaskType, model: str) -> dict[str, object]:
        """What a job says to be done with this model."""
        offered = self.client.capabilities()
        further = offered.offered(task).keys() - {offered.models[task].name}
        return {"model": model} if model in further else {}

    def _kept(self) -> dict[TaskType, list[ModelVersion]]:
        """Those that compute offers, the current one first."""
        found: dict[TaskType, list[ModelVersion]] = defaultdict(list)
        for version in model_versions.kept():
            task = TaskType(version.task_type)
            if version.model in self.client.capabilities().offered(task):
                found[task].append(version)
        return found

    def _begin(self, task: TaskType) -> str:
        """None that compute offers is kept: then it is the one that compute names first."""
        info = self.client.capabilities().models[task]
        model, dimension = info.name, info.dimension
        current, other = model_versions.of_task(task)
        if current is None:
            there = self.stores[task].alias_model()  # of a store that is older than the rows
            has = self.stores[task].models().get(there) if there else dimension
            model_versions.adopt(task, there or model, dimension=has, by=BY_CONFIGURATION)
            if there in (None, model):
                return model
        logger.warning(
            "Compute does not offer the current model of %s any more: %s takes its place.", task, model
        )
        with suppress(VersionError):  # another worker has done it meanwhile
            if other is not None:
                model_versions.drop(task, model=other.model, by=BY_CONFIGURATION)
            model_versions.start(task, model, dimension=dimension, by=BY_CONFIGURATION)
        return model
