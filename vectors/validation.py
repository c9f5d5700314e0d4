"""Every vector, id and payload passes here on its way in, so that both engines hold the same."""

from __future__ import annotations

import math
import operator
from datetime import datetime
from typing import Any

import numpy as np

from vectors.collections import ModelCollection
from vectors.errors import DimensionMismatchError, InvalidPayloadError, InvalidVectorError
from vectors.schemas import Filter, Payload, Vector, VectorPoint

MAX_ID = 2**63 - 1


def cleaned(point: VectorPoint, home: ModelCollection) -> VectorPoint:
    return VectorPoint(checked_id(point.id), unit(point.vector, home), cleaned_payload(point.payload))


def unit(vector: Vector, home: ModelCollection) -> Vector:
    """With length 1; refuses what has no direction."""
    given = np.asarray(vector)
    if given.ndim != 1 or not np.issubdtype(given.dtype, np.floating):
        raise InvalidVectorError(
            f"A vector is one row of floats, not of shape {given.shape} and type {given.dtype}."
        )
    if given.size != home.dimension:
        raise DimensionMismatchError(got=given.size, expected=home.dimension, of=home.physical_name)
    wide = given.astype(np.float64)
    length = float(np.linalg.norm(wide))
    if not math.isfinite(length) or length == 0:
        raise InvalidVectorError(f"A vector of length {length} has no direction; was the model's output bad?")
    return (wide / length).astype(np.float32)


def checked_id(id: int) -> int:
    checked = operator.index(id)
    if not 0 <= checked <= MAX_ID:
        raise InvalidVectorError(f"{id} cannot be the id of a vector: ids are from 0 to {MAX_ID}.")
    return checked


def cleaned_payload(payload: Payload) -> dict[str, Any]:
    return {key: plain(value) for key, value in payload.items()}


def plain(value: object) -> Any:
    """The value as every engine can keep it: the embedded one cannot match booleans, none knows datetimes."""
    match value:
        case bool():
            return int(value)
        case None | str() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case datetime() if value.tzinfo is not None:
            return value.isoformat()
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
    raise InvalidPayloadError(
        f"{value!r} cannot be kept with a vector; give finite numbers, strings, booleans, datetimes with a "
        "time zone, None or lists of these."
    )


def require_conditions(filter: Filter) -> Filter:
    if not (filter.must or filter.must_not):
        raise InvalidPayloadError("A filter without conditions would change every vector; name conditions.")
    return filter
