"""Against a compute service that is slow, away, or lies: handing in, and taking back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from intelligence.compute import remote_http
from intelligence.compute.base import (
    ComputeError,
    ComputeUnavailableError,
)
from intelligence.compute.remote import RemoteComputeClient
from intelligence.compute.remote_http import UnusableAnswerError
from intelligence.vocabulary import TaskType
from tests.contracts import faults
from tests.contracts.compute_service import ComputeService
from tests.contracts.faults import says, sends
from tests.contracts.remote.given import CLIP, MakeClient
from tests.factories import jpeg

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_the_part_is_named_by_us(service: ComputeService, submit: Callable[..., str]) -> None:
    submit()
    assert service.received[-1].filename == "image.jpg"


def test_a_hostile_suffix_is_left_out(
    service: ComputeService, client: RemoteComputeClient, tmp_path: Path
) -> None:
    path = tmp_path / 'photo.j"; pg\r\nX: y'
    path.write_bytes(jpeg())
    client.submit(CLIP, path, {}, "key")
    assert service.received[-1].filename == "image"


def test_parameters_of_each_task(service: ComputeService, client: RemoteComputeClient, photo: Path) -> None:
    client.submit(TaskType.FACE_DETECTION, photo, {"priority": 7}, "key")
    assert service.received[-1].fields == {
        "confidence_threshold": "0.7",
        "nms_threshold": "0.4",
        "priority": "7",
    }
    client.submit(TaskType.FACE_EMBEDDING, photo, {}, "key")
    assert service.received[-1].fields == {"normalize": "true"}


def test_an_upload_is_never_whole_in_memory(client: RemoteComputeClient, tmp_path: Path) -> None:
    """Asked of the file itself: how much of it was read at once."""
    path = tmp_path / "large.jpg"
    path.write_bytes(bytes(8_000_000))
    sizes: list[int] = []
    read = remote_http._TimedFile.read

    def noted(file: remote_http._TimedFile, size: int = -1) -> bytes:
        part = read(file, size)
        sizes.append(len(part))
        return part

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote_http._TimedFile, "read", noted)
        client.submit(CLIP, path, {}, "key")
    assert sum(sizes) == 8_000_000
    assert max(sizes) <= 1_000_000


def test_a_missing_file_is_for_good(client: RemoteComputeClient, tmp_path: Path) -> None:
    with pytest.raises(ComputeError, match="no longer there") as caught:
        client.submit(CLIP, tmp_path / "gone.jpg", {}, "key")
    assert caught.value.permanent


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(
    service: ComputeService, submit: Callable[..., str], status: int
) -> None:
    service.misbehave("POST", "/jobs/", says(status), times=remote_http.ATTEMPTS - 1)
    assert submit() in service.jobs


def test_a_service_that_is_away_says_nothing_about_the_job(
    service: ComputeService, client: RemoteComputeClient, photo: Path
) -> None:
    service.misbehave("POST", "/jobs/", says(503), times=remote_http.ATTEMPTS)
    with pytest.raises(ComputeUnavailableError, match="does not answer now") as caught:
        client.submit(CLIP, photo, {}, "key")
    assert not caught.value.permanent


def test_nobody_listens(make_client: MakeClient, photo: Path) -> None:
    with pytest.raises(ComputeUnavailableError, match="cannot be reached"):
        make_client(url="http://127.0.0.1:9").submit(CLIP, photo, {}, "key")


def test_a_service_that_is_away_is_left_alone_for_a_while(
    service: ComputeService, submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_http, "AWAY_SECONDS", 60)
    service.misbehave("POST", "/jobs/", says(503), times=remote_http.ATTEMPTS)
    for _ in range(3):
        with pytest.raises(ComputeUnavailableError):
            submit()
    assert service.received == []  # after the three that failed, nothing came


def test_a_short_retry_after_is_honoured(service: ComputeService, submit: Callable[..., str]) -> None:
    service.misbehave("POST", "/jobs/", says(429, Retry_After="1"))
    started = time.monotonic()
    submit()
    assert 1 <= time.monotonic() - started < 3


def test_a_long_retry_after_is_not_waited_for(service: ComputeService, submit: Callable[..., str]) -> None:
    """The job waits instead of the worker, and so do all that come after it."""
    service.misbehave("POST", "/jobs/", says(429, Retry_After="999999999"))
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(ComputeUnavailableError):
            submit()
    assert time.monotonic() - started < 3
    assert service.jobs == {}


def test_a_submission_that_may_have_arrived_is_not_repeated(
    service: ComputeService, submit: Callable[..., str]
) -> None:
    service.misbehave("POST", "/jobs/", faults.cut_short, times=9)
    with pytest.raises(UnusableAnswerError, match="broke off") as caught:
        submit()
    assert not caught.value.permanent
    service._faults.pop()
    assert len(service._faults) == 7


def test_a_connection_reset_amid_the_upload(
    service: ComputeService, client: RemoteComputeClient, tmp_path: Path
) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(8_000_000))
    service.misbehave("POST", "/jobs/", faults.hangs_up)
    with pytest.raises(UnusableAnswerError, match="broke off"):
        client.submit(CLIP, large, {}, "key")
    assert client.submit(CLIP, large, {}, "key") in service.jobs


def test_a_service_that_never_answers(service: ComputeService, make_client: MakeClient, photo: Path) -> None:
    service.misbehave("POST", "/jobs/", faults.silent)
    with pytest.raises(ComputeUnavailableError, match="silent"):
        make_client(timeout_seconds=0.2).submit(CLIP, photo, {}, "key")


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[]", b'{"job_id": 5}', b'{"job_id": "../../etc"}', b'{"job_id": null}', b"[" * 100_000],
)
def test_an_answer_without_an_id(service: ComputeService, submit: Callable[..., str], answer: bytes) -> None:
    service.misbehave("POST", "/jobs/", sends(answer))
    with pytest.raises(UnusableAnswerError) as caught:
        submit()
    assert not caught.value.permanent


def test_a_refusal_is_for_good_and_in_the_services_words(
    service: ComputeService, submit: Callable[..., str]
) -> None:
    complaint = {"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": "x" * 9999}
    service.misbehave("POST", "/jobs/", says(422, {"detail": [complaint]}))
    with pytest.raises(ComputeError, match="Field required") as caught:
        submit()
    assert caught.value.permanent
    assert len(str(caught.value)) < 200


def test_a_task_that_the_service_does_not_do(service: ComputeService, submit: Callable[..., str]) -> None:
    service.misbehave("POST", "/jobs/", says(405, {"detail": "Method Not Allowed"}))
    with pytest.raises(ComputeError, match="does not do clip_embedding") as caught:
        submit()
    assert caught.value.permanent


@pytest.mark.parametrize("status", [307, 403, 404])
def test_a_wrong_address_is_not_the_images_doing(
    service: ComputeService, submit: Callable[..., str], status: int
) -> None:
    service.misbehave("POST", "/jobs/", says(status, {"detail": "no"}, Location="http://elsewhere/"))
    with pytest.raises(ComputeUnavailableError):
        submit()


# --- The rest ---


def test_cancelling_deletes_on_the_service(
    service: ComputeService, client: RemoteComputeClient, submit: Callable[..., str]
) -> None:
    job_id = submit()
    client.cancel(job_id)
    client.cancel(job_id)
    assert service.jobs == {}


def test_a_deletion_that_fails_is_told(
    service: ComputeService, client: RemoteComputeClient, submit: Callable[..., str]
) -> None:
    service.misbehave("DELETE", "/jobs/", says(403, {"detail": "not yours"}))
    with pytest.raises(ComputeError, match="not yours"):
        client.cancel(submit())


def test_models_are_named_by_configuration(make_client: MakeClient) -> None:
    names = {model.name for model in make_client(models="buffalo").capabilities().models.values()}
    assert names == {"buffalo-faces", "buffalo-clip-512", "buffalo-dino-384", "buffalo-face-512"}
