"""What a picture shows, in numbers: the image towers of CLIP and its kin, and DINO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from intelligence.compute.base import Vector
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.graph import Shape
from intelligence.compute.onnx.image_input import ImageInput
from intelligence.compute.onnx.session import Array, ModelSession
from intelligence.compute.onnx.transforms import ImageTransform
from intelligence.compute.onnx.vectors import unit
from intelligence.compute.picture import Picture, Pixels

_TOKENS = 3  # batch, tokens, values
_ONE_EACH = 2  # batch, values

AT_ONCE = 4
"""More save no more time."""
_FEW_PATCHES = 64
"""A tower of so few (ViT-B/32: 49) spends much of its time on fetching its weights, which several images
share: four take 0.6 to 0.7 of four times one. DINOv2-small, of 256, takes as long or longer."""


@dataclass(frozen=True)
class OutputChoice:
    """Which of a model's outputs is the vector: the first of these names that it has, else the first output
    of one row each; of a row for every token, the first token."""

    names: tuple[str, ...]
    tokens: bool = False

    def of(self, model: str, outputs: Mapping[str, Shape]) -> str:
        named = [name for name in self.names if name in outputs]
        ranks = (_ONE_EACH, _TOKENS) if self.tokens else (_ONE_EACH,)
        fitting = [name for name, shape in outputs.items() if len(shape) in ranks or not shape]
        if not (named or fitting):
            raise ModelFileError(f"{model} gives no vector; its outputs are {', '.join(outputs)}.")
        return (named or fitting)[0]


class Output(Enum):
    CLIP_IMAGE = OutputChoice(("image_embeds", "embedding", "pooler_output"))
    CLIP_TEXT = OutputChoice(("text_embeds", "embedding", "pooler_output"))
    DINO = OutputChoice(("pooler_output", "last_hidden_state"), tokens=True)


def output_name(session: ModelSession, output: Output) -> str:
    return output.value.of(str(session.file.path), session.file.graph.outputs)


def output_dimension(session: ModelSession, output: Output) -> int | None:
    """None if the file does not say."""
    shape = session.file.graph.outputs[output_name(session, output)]
    return shape[-1] if shape else None


def one_vector(session: ModelSession, output: Output, feed: Mapping[str, Array]) -> Vector:
    """Of the first of the batch, length 1."""
    return vectors(session, output, feed)[0]


def vectors(session: ModelSession, output: Output, feed: Mapping[str, Array]) -> list[Vector]:
    """Of each of the batch, length 1."""
    (values,) = session.run(feed, [output_name(session, output)])
    return [unit(each[0] if values.ndim == _TOKENS else each) for each in values]


class ImageEmbedder:
    def __init__(self, session: ModelSession, transform: ImageTransform, output: Output) -> None:
        self._session = session
        self._transform = transform
        self._output = output

    @property
    def dimension(self) -> int | None:
        """None if the file does not say."""
        return output_dimension(self._session, self._output)

    @property
    def at_once(self) -> int:
        """How many images the file takes at once in less time than one by one; 1 where it does not. Costs
        nothing: no model is loaded to answer."""
        graph = self._session.file.graph
        height, width = self._transform.output
        has_few = graph.patch and (height // graph.patch) * (width // graph.patch) <= _FEW_PATCHES
        is_open = all(shape[:1] == (None,) for shape in graph.inputs.values())
        return AT_ONCE if has_few and is_open else 1

    def embed(self, picture: Picture) -> Vector:
        return self.embed_prepared([self.prepared(picture)])[0]

    def prepared(self, picture: Picture) -> Pixels:
        return self._transform.apply(picture)

    def embed_prepared(self, images: Sequence[Pixels]) -> list[Vector]:
        """Several only where `at_once` allows them."""
        fed = ImageInput.of(self._session)
        filled = [*images, *[images[-1]] * ((fed.batch or 0) - len(images))]
        array = fed.fed(filled, self._transform.normalisation)
        given = vectors(self._session, self._output, {fed.tensor.name: array})
        if len(given) != len(filled):
            raise ValueError(f"the model gave {len(given)} vectors for {len(filled)} images")
        return given[: len(images)]
