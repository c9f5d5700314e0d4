from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from intelligence.compute.base import ComputeSettings
from intelligence.compute.picture import Picture
from tests.intelligence.compute.pictures import PHOTOS, TESTDATA, OpenPicture


@pytest.fixture(scope="session")
def photos() -> dict[str, Path]:
    return {path.stem: path for path in PHOTOS}


@pytest.fixture(scope="session")
def portraits() -> dict[str, Path]:
    """Larger photos of people, where there are some beside the repository."""
    found = {path.stem: path for path in sorted((TESTDATA / "photos").glob("*.jpg"))}
    if not found:
        pytest.skip("no test photos: set STORE_TESTDATA to a folder that has photos/*.jpg")
    return found


@pytest.fixture(scope="session")
def model_files() -> dict[str, Path]:
    """Real models, where there are some beside the repository."""
    found = {path.stem: path for path in sorted((TESTDATA / "models").glob("*.onnx"))}
    if not found:
        pytest.skip("no test models: set STORE_TESTDATA to a folder that has models/*.onnx")
    return found


@pytest.fixture
def compute_settings(tmp_path: Path) -> ComputeSettings:
    return ComputeSettings(spool=tmp_path / "spool")


@pytest.fixture
def open_picture(tmp_path: Path) -> OpenPicture:
    """Opens a file, or an image by way of a file without loss."""

    def open_picture(source: Image.Image | Path) -> Picture:
        if isinstance(source, Image.Image):
            source.save(tmp_path / "picture.bmp")
            source = tmp_path / "picture.bmp"
        return Picture(source, max_pixels=200_000_000)

    return open_picture
