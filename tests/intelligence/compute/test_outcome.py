from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from intelligence.compute.base import (
    BoundingBox,
    ComputeError,
    DetectedFace,
    EmbeddingResult,
    FaceDetectionResult,
    JobReport,
    JobState,
    Landmarks,
)
from intelligence.compute.outcome import UnreadableOutcomeError, error_document, read_report, result_document
from intelligence.compute.picture import encode_png

FACE = DetectedFace(
    bbox=BoundingBox(0.1, 0.2, 0.3, 0.4),
    landmarks=Landmarks((0.1, 0.2), (0.3, 0.2), (0.2, 0.3), (0.1, 0.4), (0.3, 0.4)),
    confidence=0.9,
    quality=0.5,
    crop=encode_png(np.zeros((112, 112, 3), dtype=np.uint8)),
)
VECTOR = np.full(4, 0.5, dtype=np.float32)


EMBEDDING = EmbeddingResult(vector=VECTOR, model="m")


def changed(document: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(document), **fields}).encode()


@pytest.mark.parametrize("count", [0, 1, 12])
def test_faces_come_back(count: int) -> None:
    result = FaceDetectionResult(faces=(FACE,) * count, model="m")
    assert read_report(result_document(result)) == JobReport(JobState.COMPLETED, result)


def test_vector_comes_back() -> None:
    report = read_report(result_document(EMBEDDING))
    assert isinstance(report.result, EmbeddingResult)
    assert report.result.model == "m"
    assert np.array_equal(report.result.vector, VECTOR)
    assert report.result.vector.dtype == np.float32


def test_the_embedding_of_a_face_comes_back() -> None:
    faces = (replace(FACE, embedding=EMBEDDING), FACE)
    report = read_report(result_document(FaceDetectionResult(faces=faces, model="detector")))
    assert isinstance(report.result, FaceDetectionResult)
    first, second = report.result.faces
    assert first.embedding is not None
    assert first.embedding.model == "m"
    assert np.array_equal(first.embedding.vector, VECTOR)
    assert second == FACE


@pytest.mark.parametrize("permanent", [True, False])
def test_error_comes_back(*, permanent: bool) -> None:
    report = read_report(error_document(ComputeError("Why.", permanent=permanent)))
    assert report == JobReport(JobState.FAILED, error="Why.", permanent=permanent)


@pytest.mark.parametrize(
    "document", [b"", b"\0" * 144, b"[]", b"null", b"7", b'"error"', b'{"a": 1}', b"\xff"]
)
def test_damaged_documents_are_noticed(document: bytes) -> None:
    with pytest.raises(UnreadableOutcomeError):
        read_report(document)


@pytest.mark.parametrize("vector", ["", "AAAA", "AAAAA", "gA==", "?", 7, None, [0.5] * 4])
def test_damaged_vector_is_noticed(vector: object) -> None:
    with pytest.raises(UnreadableOutcomeError):
        read_report(changed(result_document(EMBEDDING), vector=vector))


def test_a_document_that_was_cut_short_is_noticed() -> None:
    document = result_document(FaceDetectionResult(faces=(FACE,), model="m"))
    for length in range(0, len(document), 17):
        with pytest.raises(UnreadableOutcomeError):
            read_report(document[:length])


@pytest.mark.parametrize(
    "fields", [{"crop": FACE.crop[:-30].hex()}, {"embedding": {"model": "m", "vector": "AAAA"}}, {"bbox": {}}]
)
def test_damaged_face_is_noticed(fields: dict[str, object]) -> None:
    document = json.loads(result_document(FaceDetectionResult(faces=(FACE, FACE), model="m")))
    document["faces"][1].update(fields)
    with pytest.raises(UnreadableOutcomeError):
        read_report(json.dumps(document).encode())
