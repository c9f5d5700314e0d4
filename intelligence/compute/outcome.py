"""The files that carry what came of a job: result.json with vector.npy or the crops, or error.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from intelligence.compute.base import (
    BoundingBox,
    ComputeError,
    DetectedFace,
    EmbeddingResult,
    FaceDetectionResult,
    JobReport,
    JobResult,
    JobState,
    Landmarks,
)
from intelligence.compute.validation import check_result, check_vector

_RESULT = "result.json"
_ERROR = "error.json"
_VECTOR = "vector.npy"


class UnreadableOutcomeError(Exception):
    """The files are not what was once written."""


def result_files(result: JobResult) -> dict[str, bytes]:
    if isinstance(result, EmbeddingResult):
        return {_VECTOR: _npy(result.vector), _RESULT: _json({"model": result.model})}
    crops = {_crop_name(number): face.crop for number, face in enumerate(result.faces)}
    faces = [_face_fields(face) for face in result.faces]
    return {**crops, _RESULT: _json({"model": result.model, "faces": faces})}


def error_files(error: ComputeError) -> dict[str, bytes]:
    return {_ERROR: _json({"error": str(error), "permanent": error.permanent})}


def read_report(folder: Path) -> JobReport:
    """UnreadableOutcomeError if anything is missing, damaged or not what a result must be."""
    try:
        if (folder / _ERROR).exists():
            fields = _read_json(folder / _ERROR)
            return JobReport(JobState.FAILED, error=fields["error"], permanent=fields["permanent"])
        return JobReport(JobState.COMPLETED, result=_read_result(folder))
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UnreadableOutcomeError(str(error)) from error


def _read_result(folder: Path) -> JobResult:
    fields = _read_json(folder / _RESULT)
    result: JobResult
    if "faces" in fields:
        faces = tuple(_read_face(folder, number, face) for number, face in enumerate(fields["faces"]))
        result = FaceDetectionResult(faces=faces, model=fields["model"])
    else:
        vector = check_vector(np.load(folder / _VECTOR, allow_pickle=False), dimension=None)
        result = EmbeddingResult(vector=vector, model=fields["model"])
    check_result(result, dimension=None)
    return result


def _read_face(folder: Path, number: int, fields: Mapping[str, Any]) -> DetectedFace:
    points = {name: (float(x), float(y)) for name, (x, y) in fields["landmarks"].items()}
    return DetectedFace(
        bbox=BoundingBox(**fields["bbox"]),
        landmarks=Landmarks(**points),
        confidence=fields["confidence"],
        quality=fields["quality"],
        crop=(folder / _crop_name(number)).read_bytes(),
    )


def _face_fields(face: DetectedFace) -> dict[str, object]:
    return {
        "bbox": asdict(face.bbox),
        "landmarks": asdict(face.landmarks),
        "confidence": face.confidence,
        "quality": face.quality,
    }


def _crop_name(number: int) -> str:
    return f"face-{number:03d}.png"


def _npy(vector: np.ndarray[Any, Any]) -> bytes:
    buffer = BytesIO()
    np.save(buffer, vector, allow_pickle=False)
    return buffer.getvalue()


def _json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, allow_nan=False).encode()


def _read_json(path: Path) -> dict[str, Any]:
    fields = json.loads(path.read_bytes())
    if not isinstance(fields, dict):
        raise TypeError(f"{path.name} holds no object")
    return fields
