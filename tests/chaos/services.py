"""A compute service in bad shape, over real HTTP, and what is heard of it."""

from __future__ import annotations

from store_project.celery import app
from tests.chaos.actors import Actor
from tests.contracts.compute_service import ComputeService, Event, Fault
from tests.contracts.faults import cut_short, hangs_up, says
from tests.deployment import Deployment

FAULTS: dict[str, Fault] = {
    "answered 500": says(500),
    "answered 503": says(503),
    "answered 429": says(429, Retry_After="1"),
    "hung up": hangs_up,
    "cut short": cut_short,
}
HANDED_IN = "SELECT job_id FROM intelligence_entityjob WHERE job_id IS NOT NULL"
FAULTS_IN_A_ROW = (1, 1, 1, 1, 1, 1, 1, 1, 1, 6)
"""Of one kind of request. The client repeats itself over a few; after more it leaves the service alone."""
RESTART_SHARE = 0.004
"""Of its turns: a job that was forgotten is handed in again only after five seconds, or thirty."""


class Service(Actor):
    """Runs its jobs in no order, forgets all of them now and then, and misbehaves until it is told not to."""

    def __init__(self, seed: str, service: ComputeService, deployment: Deployment) -> None:
        super().__init__(seed, pause_seconds=0.05)
        self.is_in_bad_shape = True
        self._service = service
        self._deployment = deployment
        self._heard: list[str] = []
        service.on_event = self._hear

    def act(self) -> None:
        jobs = [job.id for job in list(self._service.jobs.values()) if job.fields["status"] == "queued"]
        self.random.shuffle(jobs)
        self._service.work(jobs[:20])
        self._tell()
        self.counts["jobs run"] += len(jobs[:20])
        if not self.is_in_bad_shape:
            return
        if self.random.random() < RESTART_SHARE:
            self._restart()
        method = self.random.choice(["GET", "POST", "DELETE"])
        if not self._service.is_about_to_misbehave(method):
            what = self.random.choice(sorted(FAULTS))
            times = self.random.choice(FAULTS_IN_A_ROW)
            self._service.misbehave(method, "/jobs", FAULTS[what], times=times)
            self.counts[what] += times

    def recover(self) -> None:
        """Once more without its jobs."""
        self._restart()
        self.is_in_bad_shape = False
        self._service.behave()

    def _restart(self) -> None:
        self._service.restart()
        self.counts["service restarted"] += 1

    def _hear(self, event: Event) -> None:
        """An event may be lost, or come twice."""
        if event["event_type"] == "queued":
            return
        times = self.random.choice([0, 1, 1, 2]) if self.is_in_bad_shape else 1
        self.counts["events lost" if times == 0 else "events told"] += 1
        self._heard += [event["job_id"]] * times

    def _tell(self) -> None:
        """As the listener does: only of jobs that are known to be the store's."""
        heard, self._heard = self._heard, []
        kept = {job_id for (job_id,) in self._deployment.query(HANDED_IN)} if heard else set()
        for job_id in heard:
            if job_id in kept:
                app.send_task("intelligence.tasks.finish_jobs", args=[[job_id]])
