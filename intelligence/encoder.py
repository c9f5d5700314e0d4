"""A worker's half of encoding.py: makes vectors of what is searched for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entities.storage import EntityStorageService
from intelligence import capabilities
from intelligence.capabilities import ModelFacts
from intelligence.compute.base import ComputeClient, ComputeError, EmbeddingResult
from intelligence.compute.local import SpoolComputeClient
from intelligence.models import SearchEncoding
from intelligence.vocabulary import TaskType

TASKS = {"clip": TaskType.CLIP_EMBEDDING, "dino": TaskType.DINO_EMBEDDING}
ELSEWHERE = (
    "A compute service looks at images here, and it cannot be asked about a search. Search by an image of "
    "the store instead."
)
NOT_OFFERED = (
    "Searches read vectors of the model {model}, which the workers do not offer any more: give it back to "
    "them, or switch to another one (manage.py reembed)."
)


@dataclass(frozen=True)
class QueryEncoder:
    client: ComputeClient
    storage: EntityStorageService

    def encode(self, keys: Sequence[str]) -> None:
        """Those that nobody has answered, and somebody still waits for."""
        for row in SearchEncoding.objects.filter(pk__in=keys, vector__isnull=True, error=""):
            asked = SearchEncoding.objects.filter(pk=row.pk)
            try:
                result = self._result(row)
            except ComputeError as error:
                asked.update(error=str(error), is_permanent=error.permanent, text="")
            else:
                asked.update(vector=result.vector.astype("<f4").tobytes(), model=result.model, text="")

    def tell_capabilities(self) -> None:
        offered = self.client.capabilities()
        capabilities.tell(
            {
                model.name: ModelFacts(model.understands_text, model.near_duplicates_from)
                for task in TASKS.values()
                for model in offered.offered(task).values()
            }
        )

    def _result(self, row: SearchEncoding) -> EmbeddingResult:
        if not isinstance(self.client, SpoolComputeClient):
            raise ComputeError(ELSEWHERE)
        if row.model and row.model not in self.client.capabilities().offered(TASKS[row.space]):
            raise ComputeError(NOT_OFFERED.format(model=row.model))
        if row.file_path:
            path = self.storage.resolve(row.file_path)
            return self.client.embed_picture(TASKS[row.space], path, row.model)
        return self.client.embed_text(row.text, row.model)
