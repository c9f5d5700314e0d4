from __future__ import annotations

import numpy as np

from intelligence.compute.base import Vector
from intelligence.compute.onnx.session import Array


def unit(values: Array) -> Vector:
    """One row of numbers, brought to length 1. ValueError for what has no direction."""
    if values.ndim != 1:
        raise ValueError(f"expected one row of numbers, got {values.shape}")
    wide = values.astype(np.float64)
    length = float(np.linalg.norm(wide))
    if not 0 < length < np.inf:  # so put, it also refuses NaN
        raise ValueError(f"a vector of length {length} has no direction")
    return (wide / length).astype(np.float32)
