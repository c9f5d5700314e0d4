"""Having a compute service look at pictures that are searched for: by ordinary jobs, which are deleted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intelligence import hints
from intelligence.compute import time_limit
from intelligence.compute.base import (
    ComputeClient,
    ComputeError,
    EmbeddingResult,
    JobState,
)
from intelligence.vocabulary import TaskType

ANSWER_SECONDS = 4.0
"""Less than whoever searches waits. No request goes on for longer, whatever its own limit is."""
FORGET_SECONDS = 1.0
"""For deleting the jobs; what cannot be deleted in that time is deleted later."""
LEFT_BEHIND_SECONDS = 60.0
"""After which a job is deleted once more: its worker may have been killed before it could."""
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
        jobs: dict[str, str] = {}
        try:
            with time_limit.within(ANSWER_SECONDS):
                refused = self._submit(questions, jobs)
                return refused | {key: self._answer(job_id) for key, job_id in jobs.items()}
        finally:
            with time_limit.within(FORGET_SECONDS):
                for job_id in jobs.values():
                    self._forget(job_id)

    def _submit(self, questions: Mapping[str, Question], jobs: dict[str, str]) -> dict[str, Answer]:
        """Each is in `jobs` as soon as the service has it."""
        refused: dict[str, Answer] = {}
        for key, (task, picture) in questions.items():
            try:
                jobs[key] = self.client.submit(task, picture, {}, key)
            except ComputeError as error:
                refused[key] = _told(error)
            else:
                hints.forget_job(jobs[key], after=LEFT_BEHIND_SECONDS)
        self.client.start(list(jobs.values()))
        return refused

    def _answer(self, job_id: str) -> Answer:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                report = self.client.get(job_id)
            except ComputeError as error:
                return _told(error)
            if report.state is JobState.FAILED:
                return ComputeError(report.error, permanent=report.permanent)
            if isinstance(report.result, EmbeddingResult):
                return report.result
            if pause > time_limit.seconds_left():
                return _too_late()
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _forget(self, job_id: str) -> None:
        try:
            self.client.cancel(job_id)
        except ComputeError:
            hints.forget_job(job_id)  # which tries again


def _told(error: ComputeError) -> ComputeError:
    return _too_late() if time_limit.seconds_left() <= 0 else error


def _too_late() -> ComputeError:
    return ComputeError(TOO_LATE.format(seconds=ANSWER_SECONDS))
