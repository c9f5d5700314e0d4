"""The models of installed files behind the one interface that jobs know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

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
from intelligence.compute.model_set import in_words
from intelligence.compute.onnx.detections import FaceDetector, faces
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.face_embedder import FaceEmbedder, FaceFamily
from intelligence.compute.onnx.image_embedder import ImageEmbedder
from intelligence.compute.onnx.installed import Part
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
from intelligence.model_registry import ModelEntry
from intelligence.vocabulary import TaskType


class OnnxModels:
    failures: tuple[type[Exception], ...] = (cv2.error, *RUN_FAILURES)

    def __init__(
        self,
        parts: Mapping[TaskType, Part],
        settings: ComputeSettings,
        known: ModelEntry | None = None,
    ) -> None:
        """Reads all files once, for their names; loads nothing. What is known of the model beforehand counts
        where the files say nothing.

        ModelFileError for files that are missing or not understood.
        """
        cv2.setNumThreads(settings.threads)
        sessions = SessionSettings(threads=settings.threads, idle_seconds=settings.idle_seconds)
        self._detector = _detector(parts, settings, sessions)
        self._faces = _face_embedder(parts, sessions)
        self._images: dict[TaskType, Named[ImageEmbedder]] = {}
        self._text: TextEmbedder | None = None
        if TaskType.CLIP_EMBEDDING in parts:
            clip, self._text = open_clip(parts[TaskType.CLIP_EMBEDDING].path, sessions)
            self._images[TaskType.CLIP_EMBEDDING] = clip
        if TaskType.DINO_EMBEDDING in parts:
            self._images[TaskType.DINO_EMBEDDING] = open_dino(parts[TaskType.DINO_EMBEDDING].path, sessions)
        self._capabilities = self._described(settings, known)

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def detect_faces(self, picture: Picture) -> tuple[DetectedFace, ...]:
        if self._detector is None:
            raise _nobody_does(TaskType.FACE_DETECTION)
        return tuple(faces(picture, self._detector.engine.detect(picture)))

    def embed(self, task: TaskType, picture: Picture) -> Vector:
        if task is TaskType.FACE_EMBEDDING and self._faces is not None:
            side = CROP_SIDE
            crop = picture.resampled((side, side), (0, 0, side, side), Image.Resampling.BILINEAR)
            return self._faces.engine.embed([crop])[0]
        if task not in self._images:
            raise _nobody_does(task)
        return self._images[task].engine.embed(picture)

    def together(self, task: TaskType, _model: str) -> ImageEmbedder | None:
        engine = self._images[task].engine if task in self._images else None
        return engine if engine is not None and engine.at_once > 1 else None

    def embed_text(self, text: str) -> Vector:
        """In the space of the CLIP vectors. ComputeError if the model understands no text."""
        if self._text is None:
            raise ComputeError("No model is active that understands text.", permanent=True)
        return self._text.embed(text)

    def _described(self, settings: ComputeSettings, known: ModelEntry | None) -> Capabilities:
        models = self._infos(settings)
        if known is not None:
            models = {task: _with_known(info, task, known) for task, info in models.items()}
        return Capabilities(models, in_words(models))

    def _infos(self, settings: ComputeSettings) -> dict[TaskType, ModelInfo]:
        """Where a file leaves its dimension open, the settings are believed; each result is checked."""
        models: dict[TaskType, ModelInfo] = {}
        if self._detector:
            models[TaskType.FACE_DETECTION] = ModelInfo(self._detector.name)
        if self._faces:
            engine = self._faces.engine
            models[TaskType.FACE_EMBEDDING] = ModelInfo(
                self._faces.name, engine.dimension, same_person_from=engine.same_person_from
            )
        for task, images in self._images.items():
            models[task] = ModelInfo(images.name, images.engine.dimension)
        if TaskType.CLIP_EMBEDDING in models:
            clip = models[TaskType.CLIP_EMBEDDING]
            models[TaskType.CLIP_EMBEDDING] = replace(clip, understands_text=self._text is not None)
        asked = {
            TaskType.CLIP_EMBEDDING: settings.clip_dimension,
            TaskType.DINO_EMBEDDING: settings.dino_dimension,
            TaskType.FACE_EMBEDDING: settings.face_dimension,
        }
        return {
            task: replace(info, dimension=asked[task]) if info.dimension is None and task in asked else info
            for task, info in models.items()
        }


def _with_known(info: ModelInfo, task: TaskType, known: ModelEntry) -> ModelInfo:
    threshold = known.threshold(task)
    if threshold is None:
        return info
    if task is TaskType.FACE_EMBEDDING:
        return replace(info, same_person_from=threshold.value)
    if task is TaskType.FACE_DETECTION:
        return info
    return replace(info, near_duplicates_from=threshold.value)


def _nobody_does(task: TaskType) -> ComputeError:
    return ComputeError(f"No model is active that does {task}.", permanent=True)


def _detector(
    parts: Mapping[TaskType, Part], settings: ComputeSettings, sessions: SessionSettings
) -> Named[FaceDetector] | None:
    part = parts.get(TaskType.FACE_DETECTION)
    if part is None:
        return None
    return open_detector(
        part.path,
        sessions,
        threshold=settings.face_detection_threshold,
        nms=settings.face_detection_nms,
    )


def _face_embedder(parts: Mapping[TaskType, Part], sessions: SessionSettings) -> Named[FaceEmbedder] | None:
    part = parts.get(TaskType.FACE_EMBEDDING)
    if part is None:
        return None
    try:
        family = FaceFamily(part.family)
    except ValueError as error:
        known = ", ".join(FaceFamily)
        raise ModelFileError(f"{part.file}: {part.family} is no family of face models: {known}.") from error
    return open_face_embedder(part.path, family, sessions)
