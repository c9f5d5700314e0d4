from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import skimage
import sklearn
from PIL import Image

from intelligence.compute.picture import Picture

SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
TESTDATA = Path(os.environ.get("STORE_TESTDATA", Path(__file__).parents[4] / "shared" / "testdata"))

PHOTOS = (
    *(SKIMAGE / f"{name}.png" for name in ("astronaut", "brick", "camera", "cell", "chelsea")),
    *(SKIMAGE / f"{name}.png" for name in ("clock_motion", "coffee", "coins", "grass", "gravel")),
    *(SKIMAGE / f"{name}.png" for name in ("ihc", "moon", "motorcycle_left", "page", "text")),
    *(SKIMAGE / f"{name}.jpg" for name in ("hubble_deep_field", "retina", "rocket")),
    *(SKLEARN / f"{name}.jpg" for name in ("china", "flower")),
)
"""Photographs that come with the packages themselves."""

OpenPicture = Callable[[Image.Image | Path], Picture]
