from __future__ import annotations

from dataclasses import dataclass

from entities.versions import History
from intelligence import pauses, rows
from intelligence.compute.fake import FakeComputeClient
from intelligence.models import EntityJob, EntitySyncState, ImageIntelligence
from intelligence.processing import IntelligenceProcessingService
from intelligence.vocabulary import TaskType
from tests.processes import wait_until


@dataclass(frozen=True)
class Pipeline:
    processing: IntelligenceProcessingService
    client: FakeComputeClient
    started: list[str]
    """Jobs that compute was asked to start and has not run yet."""

    def reconcile(self) -> int:
        return self.processing.processor.reconcile().read

    def catch_up(self) -> None:
        """Until the watermark is at the end: it waits for open transactions, of other databases too."""
        newest: int = History.objects.latest("history_id").history_id

        def is_there() -> bool:
            self.reconcile()
            return EntitySyncState.objects.get().last_version == newest

        wait_until(is_there)

    def dispatch(self) -> int:
        return self.processing.jobs.dispatch() + self.processing.reembedding.dispatch()

    def dispatch_faces_apart(self) -> None:
        """So that they get jobs of their own: their embeddings are not to come along with their detection."""
        pauses.pause(TaskType.FACE_EMBEDDING, by=None)
        self.dispatch()
        pauses.resume(TaskType.FACE_EMBEDDING)

    def run(self) -> list[str]:
        """What an inference worker does with the jobs that were started; answers those that have ended."""
        claimed = [job_id for of_image in rows.claim_for_run(self.started) for job_id in of_image]
        self.started.clear()
        self.client.run(claimed)
        return claimed

    def finish(self, job_ids: list[str]) -> None:
        self.processing.callbacks.finish_jobs(job_ids)

    def work(self) -> None:
        """Until nothing is left to do."""
        while self._hand_out() or self.started:
            self.finish(self.run())

    def _hand_out(self) -> int:
        # Not how much was reconciled: under PostgreSQL that may stay above 0 as long as others are at work.
        self.reconcile()
        return self.dispatch()


def row_of(entity_id: int) -> ImageIntelligence:
    return ImageIntelligence.objects.get(pk=entity_id)


def job_of(entity_id: int, task: TaskType) -> EntityJob:
    return EntityJob.objects.filter(entity_id=entity_id, task_type=task).latest("pk")
