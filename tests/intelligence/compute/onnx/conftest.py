from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from intelligence.compute.onnx.files import ModelFile
from intelligence.compute.onnx.session import ModelSession, SessionSettings

OpenModel = Callable[[Path], ModelSession]


@pytest.fixture
def open_model() -> Iterator[OpenModel]:
    opened: list[ModelSession] = []

    def open_model(path: Path) -> ModelSession:
        opened.append(ModelSession(ModelFile.read(path), SessionSettings()))
        return opened[-1]

    yield open_model
    for session in opened:
        session.close()
