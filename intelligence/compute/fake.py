"""Compute for development and tests: instant, deterministic, made up; needs no OpenCV and no model files."""

from __future__ import annotations

import hashlib
from typing import Self

import numpy as np
from PIL import Image

from intelligence.compute.base import (
    BoundingBox,
    Capabilities,
    ComputeSettings,
    DetectedFace,
    Landmarks,
    ModelInfo,
    StartJobs,
    Vector,
)
from intelligence.compute.local import SpoolComputeClient
from intelligence.compute.picture import Picture, Pixels, encode_png
from intelligence.compute.validation import CROP_SIZE
from intelligence.vocabulary import TaskType

_SEEN_AT = 256
_FACE_SIDE = 0.2
_FACE_COUNTS = 3  # 0, 1 or 2
_COLOUR_STEP = 64  # grey levels; a person is one of 4 x 4 x 4 colours
_FIRST, _SECOND, _WIDE = "", "2", "3"  # of each embedding there are three, so that one can switch
_LIKENESS_NOISE = 0.3  # two faces of one person: a cosine of about 0.92


class FakeModels:
    """Vectors are seeded by what the picture shows; faces of the same colour are of the same person.

    Faces stand in a row at half height. How many there are the picture decides, unless `faces` does.
    """

    failures: tuple[type[Exception], ...] = ()

    def __init__(self, settings: ComputeSettings, faces: int | None = None) -> None:
        self._dimensions = {
            TaskType.CLIP_EMBEDDING: settings.clip_dimension,
            TaskType.DINO_EMBEDDING: settings.dino_dimension,
            TaskType.FACE_EMBEDDING: settings.face_dimension,
        }
        self._faces = faces

    def capabilities(self) -> Capabilities:
        return Capabilities(
            models={
                TaskType.FACE_DETECTION: ModelInfo("fake-faces"),
                **{task: self._model(task, _FIRST) for task in self._dimensions},
            },
            summary="Fake compute, for development and tests: every result is made up.",
            further={
                task: (self._model(task, _SECOND), self._model(task, _WIDE)) for task in self._dimensions
            },
        )

    def _model(self, task: TaskType, generation: str) -> ModelInfo:
        dimension = self._wide(task) if generation == _WIDE else self._dimensions[task]
        return ModelInfo(
            name=f"fake{generation}-{task.removesuffix('_embedding')}-{dimension}",
            dimension=dimension,
            same_person_from=0.5 if task is TaskType.FACE_EMBEDDING else None,
            understands_text=task is TaskType.CLIP_EMBEDDING and generation != _SECOND,
            near_duplicates_from=0.9 if task is TaskType.DINO_EMBEDDING else None,
        )

    def detect_faces(self, picture: Picture) -> tuple[DetectedFace, ...]:
        count = _seed(picture) % _FACE_COUNTS if self._faces is None else self._faces
        return tuple(_face(picture, face_box(number, count)) for number in range(count))

    def embed(self, task: TaskType, picture: Picture) -> Vector:
        return _embedded(task, picture, self._dimensions[task])

    def embed_with(self, model: str, task: TaskType, picture: Picture) -> Vector:
        """Models of their own: what is nearest by the first need not be by these."""
        if model == self._model(task, _FIRST).name:
            return self.embed(task, picture)
        if model == self._model(task, _WIDE).name:
            return _embedded(task, picture, self._wide(task))
        return _unit(np.square(self.embed(task, picture)))

    def embed_text(self, text: str) -> Vector:
        return _direction(_seed_of(text), self._dimensions[TaskType.CLIP_EMBEDDING])

    def embed_text_with(self, model: str, text: str) -> Vector:
        if model == self._model(TaskType.CLIP_EMBEDDING, _FIRST).name:
            return self.embed_text(text)
        return _direction(_seed_of(text), self._wide(TaskType.CLIP_EMBEDDING))

    def _wide(self, task: TaskType) -> int:
        """The dimension of the third: 768 for 512."""
        return self._dimensions[task] * 3 // 2


class FakeComputeClient(SpoolComputeClient):
    backend = "fake"

    @classmethod
    def create(cls, settings: ComputeSettings, start_jobs: StartJobs) -> Self:
        return cls(settings, FakeModels(settings), start_jobs)


def face_box(number: int, count: int) -> BoundingBox:
    """Where the face of this number, from 0, lies when there are so many."""
    centre = (number + 1) / (count + 1)
    side = min(_FACE_SIDE, 1 / (count + 1))
    return BoundingBox(centre - side / 2, 0.5 - side / 2, centre + side / 2, 0.5 + side / 2)


def _face(picture: Picture, box: BoundingBox) -> DetectedFace:
    return DetectedFace(
        bbox=box,
        landmarks=_landmarks(box),
        confidence=0.9,
        quality=0.9,
        crop=encode_png(_cut(picture, box)),
    )


def _cut(picture: Picture, box: BoundingBox) -> Pixels:
    width, height = picture.scaled_size(_SEEN_AT)
    left, top = int(box.x1 * width), int(box.y1 * height)
    right, bottom = max(left + 1, int(box.x2 * width)), max(top + 1, int(box.y2 * height))
    cut = picture.region((left, top, right, bottom), _SEEN_AT)
    return np.array(Image.fromarray(cut).resize(CROP_SIZE))


def _landmarks(box: BoundingBox) -> Landmarks:
    middle = (box.x1 + box.x2) / 2
    third, upper, lower = (box.x2 - box.x1) / 3, (2 * box.y1 + box.y2) / 3, (box.y1 + 2 * box.y2) / 3
    return Landmarks(
        right_eye=(box.x1 + third, upper),
        left_eye=(box.x2 - third, upper),
        nose_tip=(middle, (box.y1 + box.y2) / 2),
        mouth_right=(box.x1 + third, lower),
        mouth_left=(box.x2 - third, lower),
    )


def _person(crop: Pixels) -> int:
    red, green, blue = (int(mean) // _COLOUR_STEP for mean in crop.mean(axis=(0, 1)))
    return red * 100 + green * 10 + blue


def _seed(picture: Picture) -> int:
    pixels = picture.within(_SEEN_AT)
    digest = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).digest()
    return int.from_bytes(digest[:8])


def _seed_of(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def _embedded(task: TaskType, picture: Picture, dimension: int) -> Vector:
    own = _direction(_seed(picture), dimension)
    if task is not TaskType.FACE_EMBEDDING:
        return own
    person = _direction(_person(picture.within(_SEEN_AT)), dimension)
    return _unit(person + _LIKENESS_NOISE * own)


def _direction(seed: int, dimension: int) -> Vector:
    return _unit(np.random.default_rng(seed).standard_normal(dimension).astype(np.float32))


def _unit(values: Vector) -> Vector:
    return (values / np.linalg.norm(values)).astype(np.float32)
