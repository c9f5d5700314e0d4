"""What the client of the compute service does about a service that is slow, away, or lies."""

from __future__ import annotations

import gzip
import re
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from intelligence.compute import remote_http, remote_tokens
from intelligence.compute.base import (
    ComputeError,
    ComputeUnavailableError,
    DetectedFace,
    EmbeddingResult,
    FaceDetectionResult,
    JobReport,
    JobState,
    UnknownJobError,
)
from intelligence.compute.remote import RemoteComputeClient
from intelligence.compute.remote_http import UnusableAnswerError
from intelligence.compute.remote_jobs import MAX_FACES
from intelligence.vocabulary import TaskType
from tests.contracts import compute_service
from tests.contracts.compute_service import USERNAME, ComputeService, Fault, Job, npy, says, sends
from tests.factories import jpeg

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

CLIP = TaskType.CLIP_EMBEDDING
MakeClient = Callable[..., RemoteComputeClient]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_http, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(remote_http, "AWAY_SECONDS", 0.0)


@pytest.fixture
def service() -> Iterator[ComputeService]:
    with compute_service.serving() as service:
        yield service


@pytest.fixture
def make_client(service: ComputeService, tmp_path: Path) -> Iterator[MakeClient]:
    made: list[RemoteComputeClient] = []

    def make(**options: Any) -> RemoteComputeClient:
        client = RemoteComputeClient.create(service.settings(tmp_path, **options), lambda _ids: None)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> RemoteComputeClient:
    return make_client()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a user's own name.JPG"
    path.write_bytes(jpeg())
    return path


@pytest.fixture
def submit(client: RemoteComputeClient, photo: Path) -> Callable[..., str]:
    return lambda task=CLIP: client.submit(task, photo, {}, "key")


@pytest.fixture
def ended(service: ComputeService, submit: Callable[..., str]) -> Callable[..., Job]:
    """A job that the service has run; what it says of it can be changed before it is asked."""

    def run(task: TaskType = CLIP) -> Job:
        job = service.jobs[submit(task)]
        service.work()
        return job

    return run


def png(size: tuple[int, int]) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    return buffer.getvalue()


def huge_png() -> bytes:
    """Says that it is 100,000 pixels wide and high."""
    header = b"IHDR" + (100_000).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00"
    return png((1, 1)).replace(png((1, 1))[12:33], header + zlib.crc32(header).to_bytes(4))


def reason(report: JobReport) -> str:
    """Of a failure that another try would not change."""
    assert report.state is JobState.FAILED
    assert report.permanent
    return report.error


# --- Handing in -------------------------------------------------------------------------------------------


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
    service.misbehave("POST", "/jobs/", compute_service.cut_short, times=9)
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
    service.misbehave("POST", "/jobs/", compute_service.hangs_up)
    with pytest.raises(UnusableAnswerError, match="broke off"):
        client.submit(CLIP, large, {}, "key")
    assert client.submit(CLIP, large, {}, "key") in service.jobs


def test_a_service_that_never_answers(service: ComputeService, make_client: MakeClient, photo: Path) -> None:
    service.misbehave("POST", "/jobs/", compute_service.silent)
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


# --- Asking -----------------------------------------------------------------------------------------------


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
        compute_service.cut_short,
        compute_service.hangs_up,
        compute_service.trickles,
        compute_service.silent,
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
    service.misbehave("GET", f"/jobs/{job_id}", compute_service.hangs_up)
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


# --- Vectors ----------------------------------------------------------------------------------------------

VECTOR = np.ones(512, np.float32)


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        (npy(VECTOR.astype(np.float64)), "expected 512 numbers <f4, got .512,. of <f8"),
        (npy(VECTOR.astype(">f4")), "of >f4"),
        (npy(VECTOR[:384]), "expected 512 numbers <f4, got .384,. of <f4"),
        (npy(VECTOR[np.newaxis]), "got .1, 512. of <f4"),
        (npy(np.array(1, np.float32)), "got .. of <f4"),
        (npy(np.array([{"a": 1}]), pickled=True), "of [|]O"),
        (npy(np.append(VECTOR[1:], np.float32(np.nan))), "finite"),
        (npy(np.append(VECTOR[1:], np.float32(np.inf))), "finite"),
        (npy(VECTOR * 0), "zero"),
        (npy(VECTOR)[:-1], "expected 2176 bytes, got 2175"),
        (npy(VECTOR) + b"\0", "got 2177"),
        (npy(VECTOR).replace(b"(512,)", b"(9**9)"), "not the file of one plain vector"),
        (b"\x80\x04\x95", "no .npy file"),
        (b"", "no .npy file"),
        (b"PK\x03\x04", "no .npy file"),
    ],
    ids=[
        *(
            "float64",
            "big endian",
            "wrong dimension",
            "two dimensions",
            "a scalar",
            "pickled",
            "NaN",
            "infinite",
        ),
        *("zeros", "cut short", "too long", "code for a shape", "a pickle", "empty", "a zip"),
    ],
)
def test_a_file_that_is_no_vector(
    client: RemoteComputeClient, ended: Callable[..., Job], file: bytes, complaint: str
) -> None:
    job = ended()
    job.files["output/clip_embedding.npy"] = file
    assert re.search(complaint, reason(client.get(job.id)))


def test_a_vector_of_any_length_gets_length_one(
    client: RemoteComputeClient, ended: Callable[..., Job]
) -> None:
    job = ended()
    job.files["output/clip_embedding.npy"] = npy(VECTOR * 7)
    result = client.get(job.id).result
    assert isinstance(result, EmbeddingResult)
    assert np.linalg.norm(result.vector) == pytest.approx(1)


@pytest.mark.parametrize("fault", [compute_service.claims_ten_gigabytes, compute_service.never_ends])
def test_a_file_without_bounds_is_not_read(
    service: ComputeService, client: RemoteComputeClient, ended: Callable[..., Job], fault: Fault
) -> None:
    job = ended()
    service.misbehave("GET", "/files/", fault)
    with pytest.raises(ComputeError, match="more than the 6,144 bytes") as caught:
        client.get(job.id)
    assert caught.value.permanent


def test_an_answer_that_unfolds_is_not_read(
    service: ComputeService, client: RemoteComputeClient, ended: Callable[..., Job]
) -> None:
    job = ended()
    service.misbehave(
        "GET", "/files/", sends(gzip.compress(bytes(10_000_000))[:6000], Content_Encoding="gzip")
    )
    with pytest.raises(UnusableAnswerError, match="encoding"):
        client.get(job.id)


@pytest.mark.parametrize(
    "fault",
    [
        says(404),
        says(403),
        says(500),
        compute_service.cut_short,
        compute_service.trickles,
        compute_service.silent,
    ],
    ids=["404", "403", "500", "cut short", "trickle", "silence"],
)
def test_a_result_that_cannot_be_fetched_counts_as_an_attempt(
    service: ComputeService, make_client: MakeClient, photo: Path, fault: Fault
) -> None:
    """Or a job whose file never comes would be asked about for ever."""
    client = make_client(timeout_seconds=0.3)
    job_id = client.submit(CLIP, photo, {}, "key")
    service.work()
    service.misbehave("GET", "/files/", fault, times=remote_http.ATTEMPTS)
    with pytest.raises(UnusableAnswerError) as caught:
        client.get(job_id)
    assert not caught.value.permanent
    service._faults.clear()
    assert client.get(job_id).state is JobState.COMPLETED


PATHS = [
    "../other/output/x.npy",
    "output/../../x.npy",
    "/etc/passwd",
    "//etc/passwd",
    "output/%2e%2e/%2e%2e/x.npy",
    "http://elsewhere/x.npy",
    r"..\x.npy",
    "output/x.npy?a=b",
    "output/x.npy#a",
    "output/\r\nX: y",
    "",
    ".",
    None,
    ["output/x.npy"],
]


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_vectors_path_that_leaves_the_job(
    service: ComputeService, client: RemoteComputeClient, ended: Callable[..., Job], path: object
) -> None:
    job = ended()
    job.fields["params"]["output_path"] = path
    assert "not one inside the job" in reason(client.get(job.id))
    assert service.requests("GET", "files") == []


# --- Faces ------------------------------------------------------------------------------------------------


def faces_of(report: JobReport) -> tuple[DetectedFace, ...]:
    assert isinstance(report.result, FaceDetectionResult), report.error
    return report.result.faces


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_crops_path_that_leaves_the_job(
    service: ComputeService, client: RemoteComputeClient, ended: Callable[..., Job], path: object
) -> None:
    job = ended(TaskType.FACE_DETECTION)
    job.fields["task_output"]["faces"][0]["file_path"] = path
    assert "not one inside the job" in reason(client.get(job.id))
    assert service.requests("GET", "files") == []


def test_no_faces_is_a_result(
    service: ComputeService, client: RemoteComputeClient, ended: Callable[..., Job]
) -> None:
    service.faces = 0
    assert faces_of(client.get(ended(TaskType.FACE_DETECTION).id)) == ()


def test_too_many_faces(client: RemoteComputeClient, ended: Callable[..., Job]) -> None:
    job = ended(TaskType.FACE_DETECTION)
    job.fields["task_output"]["faces"] *= MAX_FACES
    assert f"at most {MAX_FACES}" in reason(client.get(job.id))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("bbox", "x1"), float("nan")),
        (("bbox", "x1"), 0.99),
        (("bbox", "x2"), "wide"),
        (("bbox", "x2"), 1e9),
        (("confidence",), 1.5),
        (("confidence",), True),
        (("landmarks", "nose_tip"), [0.5]),
        (("landmarks", "nose_tip"), {"x": 1}),
        (("landmarks",), None),
    ],
)
def test_a_face_that_cannot_be(
    client: RemoteComputeClient, ended: Callable[..., Job], where: tuple[str, ...], value: object
) -> None:
    job = ended(TaskType.FACE_DETECTION)
    place = job.fields["task_output"]["faces"][0]
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    assert "cannot be used" in reason(client.get(job.id))


@pytest.mark.parametrize("output", [None, {"faces": "many"}, {"faces": [5], "image_width": 5}, {"faces": []}])
def test_a_detection_of_another_shape(
    client: RemoteComputeClient, ended: Callable[..., Job], output: object
) -> None:
    job = ended(TaskType.FACE_DETECTION)
    job.fields["task_output"] = output
    assert "cannot be used" in reason(client.get(job.id))


def test_a_box_over_the_edge_is_cut_there(client: RemoteComputeClient, ended: Callable[..., Job]) -> None:
    job = ended(TaskType.FACE_DETECTION)
    job.fields["task_output"]["faces"][0]["bbox"]["x1"] = -0.02
    assert faces_of(client.get(job.id))[0].bbox.x1 == 0


@pytest.mark.parametrize(
    "crop",
    [b"", b"<html>", jpeg(size=(112, 112)), png((113, 112)), png((112, 112))[:-20], huge_png()],
    ids=["empty", "html", "a JPEG", "another size", "cut short", "a bomb"],
)
def test_a_crop_that_is_no_crop(client: RemoteComputeClient, ended: Callable[..., Job], crop: bytes) -> None:
    job = ended(TaskType.FACE_DETECTION)
    job.files["faces/face_1.png"] = crop
    assert "crop of a face" in reason(client.get(job.id))


def test_a_sharp_crop_has_a_better_quality(client: RemoteComputeClient, ended: Callable[..., Job]) -> None:
    job = ended(TaskType.FACE_DETECTION)
    job.files["faces/face_0.png"] = png((112, 112))
    flat, drawn = faces_of(client.get(job.id))
    assert flat.quality == 0 < drawn.quality < 1


# --- Logging in -------------------------------------------------------------------------------------------


@pytest.fixture
def closed(service: ComputeService) -> ComputeService:
    """The service in auth mode."""
    service.wants_login = True
    return service


def logins(service: ComputeService) -> list[str]:
    return [request.path for request in service.requests("POST", "/auth")]


def test_one_login_serves_many(closed: ComputeService, make_client: MakeClient, photo: Path) -> None:
    client = make_client()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.submit(CLIP, photo, {}, str(key)), range(16)))
    assert len(closed.jobs) == 16
    assert logins(closed) == ["/auth/token"]


def test_a_token_that_ends_soon_is_refreshed(
    closed: ComputeService, make_client: MakeClient, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_tokens, "TRUSTED_FOR_SECONDS", 0.0)
    closed.token_lifetime = remote_tokens.RENEW_BEFORE_SECONDS - 1
    client = make_client()
    client.submit(CLIP, photo, {}, "key")
    client.submit(CLIP, photo, {}, "key")
    assert logins(closed) == ["/auth/token", "/auth/token/refresh"]


def test_a_refresh_that_fails_is_followed_by_a_login(
    closed: ComputeService, make_client: MakeClient, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_tokens, "TRUSTED_FOR_SECONDS", 0.0)
    closed.token_lifetime, closed.can_refresh = 5, False
    client = make_client()
    client.submit(CLIP, photo, {}, "key")
    client.submit(CLIP, photo, {}, "key")
    assert logins(closed) == ["/auth/token", "/auth/token/refresh", "/auth/token"]


def test_a_token_that_is_refused_is_replaced(
    closed: ComputeService, make_client: MakeClient, photo: Path
) -> None:
    client = make_client()
    job_id = client.submit(CLIP, photo, {}, "key")
    closed.tokens.clear()
    assert client.get(job_id).state is JobState.QUEUED
    assert logins(closed) == ["/auth/token"] * 2


def test_a_clock_that_is_ahead_does_not_refresh_at_every_request(
    closed: ComputeService, make_client: MakeClient, photo: Path
) -> None:
    closed.token_lifetime = -3600
    client = make_client()
    for _ in range(3):
        client.submit(CLIP, photo, {}, "key")
    assert logins(closed) == ["/auth/token"]


def test_a_wrong_password_is_not_tried_again_and_again(
    closed: ComputeService, make_client: MakeClient, photo: Path
) -> None:
    client = make_client(password="wrong")
    for _ in range(5):
        with pytest.raises(ComputeUnavailableError, match=f"login of {USERNAME} .* refused: Incorrect"):
            client.submit(CLIP, photo, {}, "key")
    assert logins(closed) == ["/auth/token"]


def test_a_service_that_wants_a_login_and_gets_none(
    service: ComputeService, client: RemoteComputeClient, photo: Path
) -> None:
    service.wants_login = True
    with pytest.raises(ComputeUnavailableError, match="it wants a COMPUTE_USERNAME"):
        client.submit(CLIP, photo, {}, "key")


@pytest.mark.parametrize(
    "answer", [b"<html>", b"{}", b'{"access_token": "a\\r\\nX: y"}', b'{"access_token": ""}']
)
def test_an_answer_without_a_token(
    closed: ComputeService, make_client: MakeClient, photo: Path, answer: bytes
) -> None:
    closed.misbehave("POST", "/auth/token", sends(answer))
    with pytest.raises(ComputeUnavailableError, match="login service"):
        make_client().submit(CLIP, photo, {}, "key")


def test_the_password_is_shown_nowhere(closed: ComputeService, tmp_path: Path) -> None:
    assert compute_service.PASSWORD not in repr(closed.settings(tmp_path))


# --- The rest ---------------------------------------------------------------------------------------------


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
