"""Having a compute service look at pictures that are searched for: by ordinary jobs, which are deleted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intelligence import hints
from intelligence.compute.base import (
    ComputeClient,
    ComputeError,
    EmbeddingResult,
    JobState,
)
from intelligence.vocabulary import TaskType

ANSWER_SECONDS = 4.0
"""Less than whoever searches waits."""
FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.25

Question = tuple[TaskType, Path]
Answer = EmbeddingResult | ComputeError

TOO_LATE = "The compute service did not look at the picture in {seconds:.0f} s: it is busy. Try again later."


@dataclass(frozen=True)
class QueryJobs:
    client: ComputeClient

    def ask(self, questions: Mapping[str, Question]) -> dict[str, Answer]:
        """By the same keys, which nobody has used before. Whatever comes of them, the jobs are deleted."""
        deadline = time.monotonic() + ANSWER_SECONDS
        jobs: dict[str, str] = {}
        answers: dict[str, Answer] = {}
        try:
            for key, (task, picture) in questions.items():
                try:
                    jobs[key] = self.client.submit(task, picture, {}, key)
                except ComputeError as error:
                    answers[key] = error
            self.client.start(list(jobs.values()))
            for key, job_id in jobs.items():
                answers[key] = self._answer(job_id, deadline)
        finally:
            for job_id in jobs.values():
                self._forget(job_id)
        return answers

    def _answer(self, job_id: str, deadline: float) -> Answer:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                report = self.client.get(job_id)
            except ComputeError as error:
                return error
            if report.state is JobState.FAILED:
                return ComputeError(report.error, permanent=report.permanent)
            if isinstance(report.result, EmbeddingResult):
                return report.result
            if time.monotonic() + pause > deadline:
                return ComputeError(TOO_LATE.format(seconds=ANSWER_SECONDS))
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _forget(self, job_id: str) -> None:
        try:
            self.client.cancel(job_id)
        except ComputeError:
            hints.forget_job(job_id)  # which tries again
