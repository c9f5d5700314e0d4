"""A worker's half of encoding.py: makes vectors of what is searched for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entities.storage import EntityStorageService
from intelligence import capabilities
from intelligence.capabilities import ModelFacts
from intelligence.compute.base import ComputeClient, ComputeError
from intelligence.compute.local import LocalComputeClient, SpoolComputeClient
from intelligence.compute.model_set import in_words
from intelligence.models import SearchEncoding
from intelligence.query_jobs import Answer, QueryJobs, Question
from intelligence.vocabulary import TaskType
from intelligence.wanted_models import WantedModels

TASKS = {"clip": TaskType.CLIP_EMBEDDING, "dino": TaskType.DINO_EMBEDDING}
ELSEWHERE = (
    "A compute service looks at images here, and it knows no words. Search by a picture or by an image of "
    "the store instead; or have the workers look at images themselves, with a CLIP model that knows words."
)
NOT_OFFERED = (
    "Searches read vectors of the model {model}, which the workers do not offer any more: give it back to "
    "them, or switch to another one (manage.py reembed)."
)


@dataclass(frozen=True)
class QueryEncoder:
    client: ComputeClient
    storage: EntityStorageService
    models: WantedModels

    def encode(self, keys: Sequence[str]) -> None:
        """Those that nobody has answered, and somebody still waits for."""
        rows = list(SearchEncoding.objects.filter(pk__in=keys, vector__isnull=True, error=""))
        for key, answer in self._answers(rows).items():
            asked = SearchEncoding.objects.filter(pk=key)
            if isinstance(answer, ComputeError):
                asked.update(error=str(answer), is_permanent=answer.permanent, text="")
            else:
                asked.update(vector=answer.vector.astype("<f4").tobytes(), model=answer.model, text="")

    def tell_capabilities(self) -> None:
        offered = self.client.capabilities()
        capabilities.tell(
            {
                model.name: ModelFacts(
                    model.understands_text, model.near_duplicates_from, model.same_person_from
                )
                for task in (*TASKS.values(), TaskType.FACE_EMBEDDING)
                for model in offered.offered(task).values()
            },
            self._summary(),
        )

    def _summary(self) -> str:
        """Of the models that are read, which need not be those that compute names first."""
        offered = self.client.capabilities()
        if not isinstance(self.client, LocalComputeClient):
            return offered.summary
        if not offered.further:
            return offered.summary
        leading = {task: names[0] for task, names in self.models.wanted().items()}
        return in_words({task: offered.offered(task)[name] for task, name in leading.items()})

    def _answers(self, rows: Sequence[SearchEncoding]) -> dict[str, Answer]:
        if isinstance(self.client, SpoolComputeClient):
            return {row.pk: self._at_once(self.client, row) for row in rows}
        refused = {row.pk: error for row in rows if (error := self._refusal(row)) is not None}
        pictures: dict[str, Question] = {
            row.pk: (TASKS[row.space], self.storage.resolve(row.file_path))
            for row in rows
            if row.pk not in refused
        }
        return {**refused, **QueryJobs(self.client).ask(pictures)}

    def _at_once(self, client: SpoolComputeClient, row: SearchEncoding) -> Answer:
        if (refused := self._refusal(row)) is not None:
            return refused
        try:
            if row.file_path:
                path = self.storage.resolve(row.file_path)
                return client.embed_picture(TASKS[row.space], path, row.model)
            return client.embed_text(row.text, row.model)
        except ComputeError as error:
            return error

    def _refusal(self, row: SearchEncoding) -> ComputeError | None:
        if row.model and row.model not in self.client.capabilities().offered(TASKS[row.space]):
            return ComputeError(NOT_OFFERED.format(model=row.model))
        if not row.file_path and not isinstance(self.client, SpoolComputeClient):
            return ComputeError(ELSEWHERE)
        return None
