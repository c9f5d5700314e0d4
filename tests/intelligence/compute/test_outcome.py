from __future__ import annotations

from pathlib import Path

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
from intelligence.compute.outcome import UnreadableOutcomeError, error_files, read_report, result_files
from intelligence.compute.picture import encode_png

FACE = DetectedFace(
    bbox=BoundingBox(0.1, 0.2, 0.3, 0.4),
    landmarks=Landmarks((0.1, 0.2), (0.3, 0.2), (0.2, 0.3), (0.1, 0.4), (0.3, 0.4)),
    confidence=0.9,
    quality=0.5,
    crop=encode_png(np.zeros((112, 112, 3), dtype=np.uint8)),
)
VECTOR = np.full(4, 0.5, dtype=np.float32)


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("count", [0, 1, 12])
def test_faces_come_back(tmp_path: Path, count: int) -> None:
    result = FaceDetectionResult(faces=(FACE,) * count, model="m")
    assert read_report(written(tmp_path, result_files(result))) == JobReport(JobState.COMPLETED, result)


def test_vector_comes_back(tmp_path: Path) -> None:
    report = read_report(written(tmp_path, result_files(EmbeddingResult(vector=VECTOR, model="m"))))
    assert isinstance(report.result, EmbeddingResult)
    assert report.result.model == "m"
    assert np.array_equal(report.result.vector, VECTOR)


@pytest.mark.parametrize("permanent", [True, False])
def test_error_comes_back(tmp_path: Path, *, permanent: bool) -> None:
    report = read_report(written(tmp_path, error_files(ComputeError("Why.", permanent=permanent))))
    assert report == JobReport(JobState.FAILED, error="Why.", permanent=permanent)


@pytest.mark.parametrize("name", ["vector.npy", "result.json"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 144, b"\x93NUMPY\x01\x00v\x00", b"[]", b"null", b'{"a": 1}']
)
def test_damaged_files_are_noticed(tmp_path: Path, name: str, content: bytes) -> None:
    written(tmp_path, result_files(EmbeddingResult(vector=VECTOR, model="m")))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableOutcomeError):
        read_report(tmp_path)


@pytest.mark.parametrize("name", ["vector.npy", "result.json"])
def test_missing_files_are_noticed(tmp_path: Path, name: str) -> None:
    written(tmp_path, result_files(EmbeddingResult(vector=VECTOR, model="m")))
    (tmp_path / name).unlink()
    with pytest.raises(UnreadableOutcomeError):
        read_report(tmp_path)


def test_damaged_crop_is_noticed(tmp_path: Path) -> None:
    written(tmp_path, result_files(FaceDetectionResult(faces=(FACE, FACE), model="m")))
    (tmp_path / "face-001.png").write_bytes(FACE.crop[:-30])
    with pytest.raises(UnreadableOutcomeError):
        read_report(tmp_path)


def test_no_objects_are_unpickled(tmp_path: Path) -> None:
    written(tmp_path, result_files(EmbeddingResult(vector=VECTOR, model="m")))
    np.save(tmp_path / "vector.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UnreadableOutcomeError):
        read_report(tmp_path)
