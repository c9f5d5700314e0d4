"""Small ONNX models, built here: their answers are known beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str]


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    *,
    inputs: Mapping[str, tuple[int, Dims]],
    outputs: Mapping[str, tuple[int, Dims]],
    constants: Mapping[str, NDArray[np.generic]] | None = None,
) -> Path:
    """Inputs and outputs by name: kind of numbers and shape, with a word where a size is left open."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, kind, list(dims)) for name, (kind, dims) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, list(dims)) for name, (kind, dims) in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def echo(
    path: Path, dims: Dims, *, fed: str = "input", given: str = "output", kind: int = TensorProto.FLOAT
) -> Path:
    """Answers with all that it was fed, in one row for each of the batch."""
    node = helper.make_node("Flatten", [fed], [given], axis=1)
    return save(path, [node], inputs={fed: (kind, dims)}, outputs={given: (kind, (dims[0], "all"))})


def constant(
    path: Path, dims: Dims, outputs: Mapping[str, NDArray[np.float32]], *, fed: str = "input.1"
) -> Path:
    """Answers the same whatever it is fed."""
    zero = helper.make_node("ReduceMin", [fed], ["least"], keepdims=0)
    nothing = helper.make_node("Mul", ["least", "zero"], ["nothing"])
    adds = [helper.make_node("Add", [f"{name}_planted", "nothing"], [name]) for name in outputs]
    return save(
        path,
        [zero, nothing, *adds],
        inputs={fed: (TensorProto.FLOAT, dims)},
        outputs={name: (TensorProto.FLOAT, array.shape) for name, array in outputs.items()},
        constants={
            "zero": np.array(0, dtype=np.float32),
            **{f"{name}_planted": array for name, array in outputs.items()},
        },
    )
