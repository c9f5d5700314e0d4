"""The pipeline with a compute service that is asked until it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from intelligence.compute.remote import RemoteComputeClient
from intelligence.models import EntityJob
from intelligence.processing import IntelligenceProcessingService
from tests.contracts.compute_service import ComputeService


@dataclass
class RemotePipeline:
    """Hints are kept until the test lets them be worked on, or loses them."""

    service: ComputeService
    client: RemoteComputeClient
    processing: IntelligenceProcessingService
    hints: list[tuple[str, tuple[Any, ...]]]

    def hand_in(self) -> None:
        self.processing.processor.reconcile()
        self.processing.jobs.dispatch()

    def poll(self) -> int:
        """When the time of every job has come."""
        come_of_age()
        return self.processing.poller.poll()

    def follow_hints(self) -> None:
        while self.hints:
            match self.hints.pop(0):
                case "finish_jobs", (job_ids,):
                    self.processing.callbacks.finish_jobs(job_ids)
                case "forget_job", (job_id,):
                    self.client.cancel(job_id)

    def go_round(self) -> None:
        """Once through all that is periodic."""
        come_of_age()
        self.processing.sweeper.sweep_jobs()
        self.hand_in()
        self.service.work()
        self.poll()
        self.follow_hints()


def come_of_age() -> None:
    EntityJob.objects.update(updated_at=timezone.now() - timedelta(hours=1), not_before=None)
