from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from intelligence.compute.onnx.files import ModelFile
from intelligence.compute.onnx.session import ModelSession, SessionSettings
from tests.intelligence.compute.pictures import TESTDATA

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


@pytest.fixture(scope="session")
def model_files() -> dict[str, Path]:
    """Real models, where there are some beside the repository."""
    found = {path.stem: path for path in sorted((TESTDATA / "models").glob("*.onnx"))}
    if not found:
        pytest.skip("no test models: set STORE_TESTDATA to a folder that has models/*.onnx")
    return found
