"""The built-in models: classical computer vision that needs no model files and no network."""

from __future__ import annotations

import cv2

from intelligence.compute.base import (
    Capabilities,
    ComputeError,
    ComputeSettings,
    DetectedFace,
    ModelInfo,
    Vector,
)
from intelligence.compute.baseline.descriptors import (
    DCT_DIMENSION,
    DCT_GIST_DIMENSION,
    dct_descriptor,
    dct_gist_descriptor,
)
from intelligence.compute.baseline.haar import HaarFaceDetector
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType

_CAPABILITIES = Capabilities(
    models={
        TaskType.FACE_DETECTION: ModelInfo("baseline-haar-alt2"),
        TaskType.CLIP_EMBEDDING: ModelInfo("baseline-dct-gist-512", dimension=DCT_GIST_DIMENSION),
        TaskType.DINO_EMBEDDING: ModelInfo(
            "baseline-dct-384", dimension=DCT_DIMENSION, near_duplicates_from=0.9
        ),
        TaskType.FACE_EMBEDDING: ModelInfo("baseline-face-appearance-512", dimension=DCT_GIST_DIMENSION),
    },
    summary=(
        "Built-in classical vision, without model files: finds near-duplicates and frontal faces, "
        "recognises nobody, understands no text."
    ),
)

_DESCRIPTORS = {
    TaskType.CLIP_EMBEDDING: dct_gist_descriptor,
    TaskType.DINO_EMBEDDING: dct_descriptor,
    TaskType.FACE_EMBEDDING: dct_gist_descriptor,
}


class BaselineModels:
    failures: tuple[type[Exception], ...] = (cv2.error,)

    def __init__(self, settings: ComputeSettings) -> None:
        cv2.setNumThreads(settings.threads)
        self._detector = HaarFaceDetector()

    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    def detect_faces(self, picture: Picture) -> tuple[DetectedFace, ...]:
        return self._detector.detect(picture)

    def embed(self, task: TaskType, picture: Picture) -> Vector:
        return _DESCRIPTORS[task](picture)

    def embed_text(self, text: str) -> Vector:
        raise ComputeError("The built-in models understand no text.", permanent=True)
