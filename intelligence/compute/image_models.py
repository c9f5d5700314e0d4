"""What a set of models must do to stand behind a client that runs its jobs here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from intelligence.compute.base import Capabilities, DetectedFace, Vector
from intelligence.compute.picture import Picture, Pixels
from intelligence.vocabulary import TaskType


class ImageModels(Protocol):
    """Safe to use from several threads. May raise ComputeError with words for the image's owner."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its runtime raises for an image it cannot handle, beside ValueError and ArithmeticError."""

    def capabilities(self) -> Capabilities:
        """Costs nothing: no model is loaded to answer."""

    def detect_faces(self, picture: Picture) -> tuple[DetectedFace, ...]: ...

    def embed(self, task: TaskType, picture: Picture) -> Vector:
        """For a face embedding the picture is a crop, already aligned."""

    def embed_text(self, text: str) -> Vector:
        """In the space of the CLIP embeddings; only asked where their model understands text."""


@runtime_checkable
class SeveralModels(Protocol):
    """A set whose capabilities name further models."""

    def embed_with(self, model: str, task: TaskType, picture: Picture) -> Vector: ...

    def embed_text_with(self, model: str, text: str) -> Vector:
        """Only asked where that model understands text."""


class EmbedsTogether(Protocol):
    """A model that takes several images at once in less time than one by one. What it is fed with is small
    and stands for the picture, which need not be kept."""

    @property
    def at_once(self) -> int: ...

    def prepared(self, picture: Picture) -> Pixels: ...

    def embed_prepared(self, images: Sequence[Pixels]) -> list[Vector]:
        """Of no more than `at_once`. Where one is too much for the model, it fails for all."""


@runtime_checkable
class KnowsTogether(Protocol):
    """A set that may have such models."""

    def together(self, task: TaskType, model: str) -> EmbedsTogether | None:
        """None: that model takes one image at a time."""


@runtime_checkable
class ModelSource(Protocol):
    """Models that may become others while they are in use."""

    def now(self) -> ImageModels:
        """Those to use; what is done with one answer is done by the same models throughout."""

    def look_again(self) -> None:
        """Whether they are others by now."""


class FixedModels:
    """A source of ever the same."""

    def __init__(self, models: ImageModels) -> None:
        self._models = models

    def now(self) -> ImageModels:
        return self._models

    def look_again(self) -> None:
        """They are not."""
