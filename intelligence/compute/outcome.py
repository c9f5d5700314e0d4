"""What came of a job, as one JSON document: its result, vectors and crops included, or why there is none."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict
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
from intelligence.compute.validation import check_result

_NUMBERS = np.dtype("<f4")


class UnreadableOutcomeError(Exception):
    """The document is not what was once written."""


def result_document(result: JobResult) -> bytes:
    if isinstance(result, EmbeddingResult):
        return _json(_embedding_fields(result))
    return _json({"model": result.model, "faces": [_face_fields(face) for face in result.faces]})


def error_document(error: ComputeError) -> bytes:
    return _json({"error": str(error), "permanent": error.permanent})


def read_report(document: bytes) -> JobReport:
    """UnreadableOutcomeError if anything is missing, damaged or not what a result must be."""
    try:
        fields = json.loads(document)
        if "error" in fields:
            return JobReport(JobState.FAILED, error=fields["error"], permanent=fields["permanent"])
        return JobReport(JobState.COMPLETED, result=_read_result(fields))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableOutcomeError(str(error)) from error


def _read_result(fields: Mapping[str, Any]) -> JobResult:
    result: JobResult
    if "faces" in fields:
        faces = tuple(_read_face(face) for face in fields["faces"])
        result = FaceDetectionResult(faces=faces, model=fields["model"])
    else:
        result = _read_embedding(fields)
    check_result(result, dimension=None)
    return result


def _read_face(fields: Mapping[str, Any]) -> DetectedFace:
    points = {name: (float(x), float(y)) for name, (x, y) in fields["landmarks"].items()}
    return DetectedFace(
        bbox=BoundingBox(**fields["bbox"]),
        landmarks=Landmarks(**points),
        confidence=fields["confidence"],
        quality=fields["quality"],
        crop=b64decode(fields["crop"], validate=True),
        embedding=_read_embedding(fields["embedding"]) if fields["embedding"] is not None else None,
    )


def _read_embedding(fields: Mapping[str, Any]) -> EmbeddingResult:
    vector = np.frombuffer(b64decode(fields["vector"], validate=True), dtype=_NUMBERS)
    return EmbeddingResult(vector=vector.astype(np.float32), model=fields["model"])


def _face_fields(face: DetectedFace) -> dict[str, object]:
    return {
        "bbox": asdict(face.bbox),
        "landmarks": asdict(face.landmarks),
        "confidence": face.confidence,
        "quality": face.quality,
        "crop": _text(face.crop),
        "embedding": None if face.embedding is None else _embedding_fields(face.embedding),
    }


def _embedding_fields(result: EmbeddingResult) -> dict[str, object]:
    return {"model": result.model, "vector": _text(result.vector.astype(_NUMBERS).tobytes())}


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, allow_nan=False).encode()
