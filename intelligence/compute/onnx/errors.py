from __future__ import annotations

from intelligence.compute.base import ComputeError


class ModelFileError(ComputeError):
    """A model's files are missing, damaged, or not what was chosen. Says nothing about the image: once the
    files are right the same job can succeed."""
