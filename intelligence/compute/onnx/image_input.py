"""Pixels in the layout and the kind of numbers that a model's input asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.session import Array, ModelSession, TensorInfo
from intelligence.compute.picture import Pixels

_COLOURS = 3


@dataclass(frozen=True)
class Normalisation:
    """(pixel x scale - mean) / std, a mean and std for each of red, green and blue."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float = 1.0

    def apply(self, planes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Shape (n, 3, height, width): by colour, as numpy takes five times as long for three at a time."""
        values = planes.astype(np.float32)
        values *= np.float32(self.scale)
        values -= np.array(self.mean, dtype=np.float32)[:, None, None]
        values /= np.array(self.std, dtype=np.float32)[:, None, None]
        return values


@dataclass(frozen=True)
class ImageInput:
    """The one input of a model that images go into, as its file describes it."""

    tensor: TensorInfo
    channels_last: bool
    height: int | None
    width: int | None

    @classmethod
    def of(cls, session: ModelSession) -> ImageInput:
        """ModelFileError if no input of the model takes RGB images."""
        for tensor in session.inputs:
            if len(tensor.shape) == 4 and _COLOURS in (tensor.shape[1], tensor.shape[3]):  # noqa: PLR2004
                last = tensor.shape[1] != _COLOURS
                height, width = tensor.shape[1:3] if last else tensor.shape[2:4]
                return cls(tensor, last, height, width)
        shapes = [tensor.shape for tensor in session.inputs]
        raise ModelFileError(f"{session.file.path} takes no images: its inputs are {shapes}.")

    @property
    def batch(self) -> int | None:
        """How many images at once; None for any number."""
        return self.tensor.shape[0]

    @property
    def normalises_itself(self) -> bool:
        """It takes bytes: what it does with them is inside the file."""
        return self.tensor.dtype == np.uint8

    def fed(self, images: list[Pixels], normalisation: Normalisation) -> Array:
        """All images, of one size, as one array. ModelFileError if that is not the model's own size."""
        stacked = np.stack(images)
        asked = (self.height or stacked.shape[1], self.width or stacked.shape[2])
        if stacked.shape[1:3] != asked:
            raise ModelFileError(
                f"{self.tensor.name} takes {asked} pixels, not the {stacked.shape[1:3]} stated."
            )
        planes = np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))
        values: Array = planes if self.normalises_itself else normalisation.apply(planes)
        laid_out = values.transpose(0, 2, 3, 1) if self.channels_last else values
        return np.ascontiguousarray(laid_out, dtype=self.tensor.dtype)
