"""Against a compute service that is slow, away, or lies: its vectors and faces."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from intelligence.compute import remote_http
from intelligence.compute.base import (
    ComputeError,
    DetectedFace,
    EmbeddingResult,
    FaceDetectionResult,
    JobReport,
    JobState,
)
from intelligence.compute.remote import RemoteComputeClient
from intelligence.compute.remote_http import UnusableAnswerError
from intelligence.compute.remote_jobs import MAX_FACES
from intelligence.vocabulary import TaskType
from tests.contracts import faults
from tests.contracts.compute_service import ComputeService, Fault, Job, npy
from tests.contracts.faults import says, sends
from tests.contracts.remote.given import CLIP, MakeClient, huge_png, png, reason
from tests.factories import jpeg

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


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


@pytest.mark.parametrize("fault", [faults.claims_ten_gigabytes, faults.never_ends])
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
        faults.cut_short,
        faults.trickles,
        faults.silent,
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


# --- Faces ---


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
