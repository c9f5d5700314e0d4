"""What an ONNX file says of itself, read without a runtime: its operators, inputs, outputs, other files.

The file is protobuf. Only the few fields needed are looked at; tensors are skipped, so a file of gigabytes
is read in milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from intelligence.compute.onnx.errors import ModelFileError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10

# Numbers of fields in onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_OPERATOR = 4
_TENSOR_DIMENSIONS, _TENSOR_NAME, _TENSOR_EXTERNAL_DATA = 1, 8, 13
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_DIMENSION, _DIMENSION_VALUE = 1, 2, 1, 1

Span = tuple[int, int]
"""Where a field's bytes begin and end."""

Shape = tuple[int | None, ...]
"""None where the file leaves a size open."""


@dataclass(frozen=True)
class GraphSummary:
    operators: tuple[str, ...]
    """In the order of the file."""
    inputs: dict[str, Shape]
    """Not its weights, which older files name as inputs too."""
    outputs: dict[str, Shape]
    external_files: frozenset[str]
    """Names, relative to the model's folder, of the files that hold its larger weights."""
    patch: int | None = None
    """The side of the squares of pixels that a tower of vision cuts its picture into, by the weights that
    look at three colours; None where none do."""


def read_graph(path: Path) -> GraphSummary:
    """ModelFileError if the file cannot be read or is no ONNX model."""
    try:
        with path.open("rb") as file:
            return _summary(_Reader(file))
    except (ValueError, EOFError) as error:
        raise ModelFileError(f"{path} is no ONNX model, or is cut short.") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def fields(self, span: Span) -> Iterator[tuple[int, int | Span]]:
        """The number of each field, and its value if that is a number, or where its bytes are."""
        position, end = span
        while position < end:
            self._file.seek(position)
            key = self._varint()
            value, position = self._value(key & 7)
            if position > end:
                raise EOFError
            yield key >> 3, value

    def spans(self, span: Span, number: int) -> Iterator[Span]:
        for found, value in self.fields(span):
            if found == number and isinstance(value, tuple):
                yield value

    def text(self, span: Span) -> str:
        self._file.seek(span[0])
        return self._file.read(span[1] - span[0]).decode()

    def texts(self, span: Span, number: int) -> Iterator[str]:
        for found in self.spans(span, number):
            yield self.text(found)

    def _value(self, wire_type: int) -> tuple[int | Span, int]:
        if wire_type == _VARINT:
            return self._varint(), self._file.tell()
        start = self._file.tell()
        lengths = {_FIXED64: 8, _FIXED32: 4}
        if wire_type == _BYTES:
            length = self._varint()
            start = self._file.tell()
        elif wire_type in lengths:
            length = lengths[wire_type]
        else:
            raise ValueError(wire_type)
        return (start, start + length), start + length

    def _varint(self) -> int:
        value = 0
        for index in range(_MAX_VARINT_BYTES):
            byte = self._file.read(1)
            if not byte:
                raise EOFError
            value |= (byte[0] & 0x7F) << (7 * index)
            if byte[0] < 0x80:  # noqa: PLR2004 - the bit that says that more follows
                return value
        raise ValueError(value)


def _summary(reader: _Reader) -> GraphSummary:
    graphs = list(reader.spans((0, reader.size), _MODEL_GRAPH))
    if len(graphs) != 1:
        raise ValueError(graphs)
    operators: list[str] = []
    shapes: dict[int, dict[str, Shape]] = {_GRAPH_INPUT: {}, _GRAPH_OUTPUT: {}}
    external: set[str] = set()
    weights: set[str] = set()
    patches: list[int] = []
    for number, value in reader.fields(graphs[0]):
        if isinstance(value, int):
            continue
        if number == _GRAPH_NODE:
            operators += reader.texts(value, _NODE_OPERATOR)
        elif number in shapes:
            shapes[number][next(reader.texts(value, _VALUE_NAME), "")] = _shape(reader, value)
        elif number == _GRAPH_INITIALIZER:
            external |= _locations(reader, value)
            weights.update(reader.texts(value, _TENSOR_NAME))
            patches += _patch(reader, value)
    inputs = {name: shape for name, shape in shapes[_GRAPH_INPUT].items() if name not in weights}
    patch = patches[0] if len(patches) == 1 else None
    return GraphSummary(tuple(operators), inputs, shapes[_GRAPH_OUTPUT], frozenset(external), patch)


def _locations(reader: _Reader, tensor: Span) -> set[str]:
    entries = reader.spans(tensor, _TENSOR_EXTERNAL_DATA)
    return {
        next(reader.texts(entry, _ENTRY_VALUE), "")
        for entry in entries
        if "location" in reader.texts(entry, _ENTRY_KEY)
    }


def _patch(reader: _Reader, tensor: Span) -> list[int]:
    """Of weights of the shape (values, 3, side, side) the side; of others nothing."""
    sizes = [
        value
        for number, value in reader.fields(tensor)
        if number == _TENSOR_DIMENSIONS and isinstance(value, int)
    ]
    is_patch = len(sizes) == 4 and sizes[1] == 3 and sizes[2] == sizes[3]  # noqa: PLR2004
    return sizes[2:3] if is_patch else []


def _shape(reader: _Reader, value: Span) -> Shape:
    """Empty where the file says nothing."""
    with suppress(StopIteration):
        tensor = next(reader.spans(next(reader.spans(value, _VALUE_TYPE)), _TYPE_TENSOR))
        shape = next(reader.spans(tensor, _TENSOR_SHAPE))
        return tuple(_dimension(reader, found) for found in reader.spans(shape, _SHAPE_DIMENSION))
    return ()


def _dimension(reader: _Reader, span: Span) -> int | None:
    for number, value in reader.fields(span):
        if number == _DIMENSION_VALUE and isinstance(value, int) and value > 0:
            return value
    return None
