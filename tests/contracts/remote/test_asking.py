"""Against a compute service that is slow, away, or lies: asking about jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from intelligence.compute import remote_http
from intelligence.compute.base import (
    ComputeUnavailableError,
    JobReport,
    JobState,
    UnknownJobError,
)
from intelligence.compute.remote import RemoteComputeClient
from intelligence.compute.remote_http import UnusableAnswerError
from tests.contracts import faults
from tests.contracts.compute_service import ComputeService, Fault, Job
from tests.contracts.faults import says, sends
from tests.contracts.remote.given import CLIP, MakeClient, reason

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("queued", JobState.QUEUED),
        ("processing", JobState.RUNNING),
        ("in_progress", JobState.RUNNING),
        ("error", JobState.FAILED),
        ("failed", JobState.FAILED),
    ],
)
def test_both_vocabularies(
    service: ComputeService,
    client: RemoteComputeClient,
    submit: Callable[..., str],
    word: str,
    state: JobState,
) -> None:
    job_id = submit()
    service.jobs[job_id].fields["status"] = word
    assert client.get(job_id).state is state


def test_an_unknown_status_counts_as_an_attempt(
    service: ComputeService, client: RemoteComputeClient, submit: Callable[..., str]
) -> None:
    job_id = submit()
    service.jobs[job_id].fields["status"] = "pondering"
    with pytest.raises(UnusableAnswerError, match="'pondering' is not known"):
        client.get(job_id)


def test_an_answer_about_another_job(
    service: ComputeService, client: RemoteComputeClient, submit: Callable[..., str]
) -> None:
    job_id = submit()
    service.jobs[job_id].fields["job_id"] = "another"
    with pytest.raises(UnusableAnswerError, match="another job"):
        client.get(job_id)


def test_a_service_that_came_back_without_its_jobs(
    service: ComputeService, client: RemoteComputeClient, submit: Callable[..., str]
) -> None:
    job_id = submit()
    service.restart()
    with pytest.raises(UnknownJobError):
        client.get(job_id)


@pytest.mark.parametrize(
    "fault",
    [
        says(500),
        says(503),
        says(418),
        sends(b"<html>maintenance</html>"),
        faults.cut_short,
        faults.hangs_up,
        faults.trickles,
        faults.silent,
    ],
    ids=["500", "503", "418", "junk", "cut short", "reset", "trickle", "silence"],
)
def test_trouble_while_asking_says_nothing_about_the_job(
    service: ComputeService, make_client: MakeClient, photo: Path, fault: Fault
) -> None:
    client = make_client(timeout_seconds=0.3)
    job_id = client.submit(CLIP, photo, {}, "key")
    service.misbehave("GET", f"/jobs/{job_id}", fault, times=remote_http.ATTEMPTS)
    with pytest.raises(ComputeUnavailableError):
        client.get(job_id)
    service._faults.clear()
    assert client.get(job_id).state is JobState.QUEUED


def test_asking_is_repeated_after_a_reset(
    service: ComputeService, client: RemoteComputeClient, submit: Callable[..., str]
) -> None:
    job_id = submit()
    service.misbehave("GET", f"/jobs/{job_id}", faults.hangs_up)
    assert client.get(job_id).state is JobState.QUEUED


def test_folders_of_the_service_are_not_shown(client: RemoteComputeClient, ended: Callable[..., Job]) -> None:
    job = ended()
    job.fields.update(status="error", error_message=f"Failed to load image: /srv/x/{job.id}/input/a.jpg")
    assert reason(client.get(job.id)) == "Failed to load image: a.jpg"
    job.fields["error_message"] = (
        r"no such file 'C:\models\clip\model.onnx' (see /var/log/x.log)" + "!" * 9999
    )
    report = client.get(job.id)
    assert report.error.startswith("no such file 'model.onnx' (see x.log)!")
    assert len(report.error) <= 300


def test_a_failure_that_is_not_the_images_doing_may_pass(
    client: RemoteComputeClient, ended: Callable[..., Job]
) -> None:
    job = ended()
    job.fields.update(status="error", error_message="CUDA out of memory")
    assert client.get(job.id) == JobReport(JobState.FAILED, error="CUDA out of memory", permanent=False)
    job.fields["error_message"] = None
    assert "no reason" in client.get(job.id).error
