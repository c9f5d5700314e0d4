from __future__ import annotations

import io
from typing import Any

import numpy as np
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse

from entities.api.documentation import VECTORS_AWAY, error
from vectors.schemas import Vector

NPY: dict[Any, OpenApiResponse] = {
    (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY, "For numpy.load()."),
    404: error("There is none of this number, or it has no embedding yet."),
    **VECTORS_AWAY,
}
"""For the schema."""


def npy_response(vector: Vector, *, name: str) -> HttpResponse:
    """A file that numpy.load() reads: little-endian float32, one dimension, format 1.0."""
    file = io.BytesIO()
    np.lib.format.write_array(file, vector.astype("<f4"), version=(1, 0), allow_pickle=False)
    return HttpResponse(
        file.getvalue(),
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="{name}.npy"'},
    )
