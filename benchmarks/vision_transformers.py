"""Vision transformers of a stated size with random weights: they cost what real ones do, and see nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Size:
    side: int
    patch: int
    width: int
    layers: int
    heads: int
    given: int
    """Dimension of the answer."""

    @property
    def tokens(self) -> int:
        return (self.side // self.patch) ** 2


VIT_B_32 = Size(side=224, patch=32, width=768, layers=12, heads=12, given=512)
"""As the visual tower of OpenAI's CLIP."""
VIT_S_14 = Size(side=224, patch=14, width=384, layers=12, heads=6, given=384)
"""As DINOv2-small."""


class _Graph:
    def __init__(self, size: Size) -> None:
        self.size = size
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def constant(self, array: NDArray[np.generic]) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def matrix(self, *shape: int) -> str:
        scale = np.float32(1 / np.sqrt(shape[0] if len(shape) == 2 else np.prod(shape[1:])))
        return self.constant(self._random.standard_normal(shape, dtype=np.float32) * scale)

    def normed(self, value: str) -> str:
        ones, zeros = np.ones(self.size.width, np.float32), np.zeros(self.size.width, np.float32)
        return self.add("LayerNormalization", value, self.constant(ones), self.constant(zeros))

    def linear(self, value: str, to: int, of: int) -> str:
        return self.add("MatMul", value, self.matrix(of, to))

    def heads(self, value: str, order: tuple[int, ...]) -> str:
        shape = np.array([0, self.size.tokens, self.size.heads, self.size.width // self.size.heads])
        return self.add("Transpose", self.add("Reshape", value, self.constant(shape)), perm=order)

    def attention(self, value: str) -> str:
        width = self.size.width
        query, key, content = (
            self.heads(self.linear(value, width, width), order)
            for order in ((0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3))
        )
        scale = self.constant(np.array((width / self.size.heads) ** -0.5, np.float32))
        weights = self.add("Softmax", self.add("Mul", self.add("MatMul", query, key), scale), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", weights, content), perm=(0, 2, 1, 3))
        joined = self.add("Reshape", mixed, self.constant(np.array([0, self.size.tokens, width])))
        return self.linear(joined, width, width)

    def perceptron(self, value: str) -> str:
        inner = self.linear(value, 4 * self.size.width, self.size.width)
        gate = self.add("Sigmoid", self.add("Mul", inner, self.constant(np.array(1.702, np.float32))))
        return self.linear(self.add("Mul", inner, gate), self.size.width, 4 * self.size.width)


def write(path: Path, size: Size, *, fed: str, given: str) -> Path:
    """With an open batch."""
    graph = _Graph(size)
    patches = graph.add(
        "Conv", fed, graph.matrix(size.width, 3, size.patch, size.patch), strides=[size.patch, size.patch]
    )
    flat = graph.add("Reshape", patches, graph.constant(np.array([0, size.width, size.tokens])))
    value = graph.add("Transpose", flat, perm=(0, 2, 1))
    for _ in range(size.layers):
        value = graph.add("Add", value, graph.attention(graph.normed(value)))
        value = graph.add("Add", value, graph.perceptron(graph.normed(value)))
    mean = graph.add("ReduceMean", graph.normed(value), axes=[1], keepdims=0)
    graph.nodes.append(helper.make_node("MatMul", [mean, graph.matrix(size.width, size.given)], [given]))
    image = helper.make_tensor_value_info(fed, TensorProto.FLOAT, ["batch", 3, size.side, size.side])
    vector = helper.make_tensor_value_info(given, TensorProto.FLOAT, ["batch", size.given])
    made = helper.make_graph(graph.nodes, "random", [image], [vector], graph.weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path
