"""The models of chosen files, put together behind the one interface that jobs know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
from PIL import Image

from intelligence.compute.alignment import CROP_SIDE
from intelligence.compute.base import (
    Capabilities,
    ComputeError,
    ComputeSettings,
    DetectedFace,
    ModelInfo,
    Vector,
)
from intelligence.compute.image_models import ImageModels
from intelligence.compute.onnx.detections import FaceDetector, faces
from intelligence.compute.onnx.face_embedder import FaceEmbedder, FaceFamily
from intelligence.compute.onnx.image_embedder import ImageEmbedder
from intelligence.compute.onnx.layouts import (
    Named,
    open_clip,
    open_detector,
    open_dino,
    open_face_embedder,
)
from intelligence.compute.onnx.session import RUN_FAILURES, SessionSettings
from intelligence.compute.onnx.text_embedder import TextEmbedder
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType

_WORDS = {
    TaskType.FACE_DETECTION: "finds faces",
    TaskType.FACE_EMBEDDING: "recognises people",
    TaskType.CLIP_EMBEDDING: "finds images by what they show",
    TaskType.DINO_EMBEDDING: "finds look-alikes",
}


@dataclass(frozen=True)
class ChosenFiles:
    """Where the models lie; what is left out is not done by them."""

    detector: Path | None = None
    face: Path | None = None
    face_family: FaceFamily = FaceFamily.ARCFACE
    clip: Path | None = None
    dino: Path | None = None


class OnnxModels:
    failures: tuple[type[Exception], ...] = (cv2.error, *RUN_FAILURES)

    def __init__(
        self,
        chosen: ChosenFiles,
        settings: ComputeSettings,
        sessions: SessionSettings,
        *,
        others: ImageModels | None = None,
    ) -> None:
        """Reads all files once, for their names; loads nothing. `others` do the tasks without a file.

        ModelFileError for files that are missing or not understood.
        """
        cv2.setNumThreads(settings.threads)
        self._others = others
        self._detector = _detector(chosen, settings, sessions)
        self._faces = _face_embedder(chosen, sessions)
        self._clip: Named[ImageEmbedder] | None = None
        self._text: TextEmbedder | None = None
        if chosen.clip is not None:
            self._clip, self._text = open_clip(chosen.clip, sessions)
        self._dino = open_dino(chosen.dino, sessions) if chosen.dino else None
        self._capabilities = self._described(settings)
        if others is not None:
            self.failures = tuple({*self.failures, *others.failures})

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def detect_faces(self, picture: Picture) -> tuple[DetectedFace, ...]:
        if self._detector is None:
            return self._other(TaskType.FACE_DETECTION).detect_faces(picture)
        return tuple(faces(picture, self._detector.engine.detect(picture)))

    def embed(self, task: TaskType, picture: Picture) -> Vector:
        if task is TaskType.FACE_EMBEDDING and self._faces is not None:
            side = CROP_SIDE
            crop = picture.resampled((side, side), (0, 0, side, side), Image.Resampling.BILINEAR)
            return self._faces.engine.embed([crop])[0]
        images = self._image_models().get(task)
        return self._other(task).embed(task, picture) if images is None else images.engine.embed(picture)

    def embed_text(self, text: str) -> Vector:
        """In the space of the CLIP vectors. ComputeError if no active model understands text."""
        if self._text is None:
            raise ComputeError("No model is active that understands text.", permanent=True)
        return self._text.embed(text)

    def _image_models(self) -> Mapping[TaskType, Named[ImageEmbedder]]:
        both = {TaskType.CLIP_EMBEDDING: self._clip, TaskType.DINO_EMBEDDING: self._dino}
        return {task: model for task, model in both.items() if model is not None}

    def _other(self, task: TaskType) -> ImageModels:
        if self._others is None:
            raise ComputeError(f"No model is active that does {task}.", permanent=True)
        return self._others

    def _described(self, settings: ComputeSettings) -> Capabilities:
        models = self._own(settings)
        summary = "; ".join(f"{_WORDS[task]} ({model.name})" for task, model in models.items())
        understands = "understands text" if self._text else "understands no text"
        if self._others is None:
            return Capabilities(models, f"Model files: {summary}; {understands}.")
        beside = self._others.capabilities()
        rest = f"For the rest: {beside.summary}" if set(beside.models) - set(models) else ""
        return Capabilities(
            {**beside.models, **models}, f"Model files: {summary}; {understands}. {rest}".strip()
        )

    def _own(self, settings: ComputeSettings) -> dict[TaskType, ModelInfo]:
        models: dict[TaskType, ModelInfo] = {}
        if self._detector:
            models[TaskType.FACE_DETECTION] = ModelInfo(self._detector.name)
        if self._faces:
            models[TaskType.FACE_EMBEDDING] = _info(
                self._faces,
                settings.face_dimension,
                same_person_from=self._faces.engine.same_person_from,
            )
        if self._clip:
            models[TaskType.CLIP_EMBEDDING] = _info(
                self._clip,
                settings.clip_dimension,
                understands_text=self._text is not None,
            )
        if self._dino:
            models[TaskType.DINO_EMBEDDING] = _info(self._dino, settings.dino_dimension)
        return models


def _info(
    model: Named[FaceEmbedder] | Named[ImageEmbedder],
    configured: int,
    *,
    same_person_from: float | None = None,
    understands_text: bool = False,
) -> ModelInfo:
    """Where the file leaves its dimension open, the settings are believed; each result is checked."""
    dimension = model.engine.dimension or configured
    return ModelInfo(model.name, dimension, same_person_from, understands_text)


def _detector(
    chosen: ChosenFiles, settings: ComputeSettings, sessions: SessionSettings
) -> Named[FaceDetector] | None:
    if chosen.detector is None:
        return None
    return open_detector(
        chosen.detector,
        sessions,
        threshold=settings.face_detection_threshold,
        nms=settings.face_detection_nms,
    )


def _face_embedder(chosen: ChosenFiles, sessions: SessionSettings) -> Named[FaceEmbedder] | None:
    return open_face_embedder(chosen.face, chosen.face_family, sessions) if chosen.face else None
