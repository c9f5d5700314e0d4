from __future__ import annotations

from pathlib import Path

import pytest

from tests.intelligence.pipeline import Pipeline
from tests.intelligence.recognition.crowd import Crowd


@pytest.fixture
def crowd(pipeline: Pipeline, media_root: Path) -> Crowd:
    return Crowd(pipeline.processing)
