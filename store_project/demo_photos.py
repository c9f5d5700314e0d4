"""Real photos that two scientific packages carry, and variants of each that a good search must find again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageEnhance

PHOTOS = {
    "skimage": (
        "data/astronaut.png",
        "data/brick.png",
        "data/camera.png",
        "data/chelsea.png",
        "data/clock_motion.png",
        "data/coffee.png",
        "data/coins.png",
        "data/grass.png",
        "data/gravel.png",
        "data/hubble_deep_field.jpg",
        "data/ihc.png",
        "data/moon.png",
        "data/motorcycle_left.png",
        "data/retina.jpg",
        "data/rocket.jpg",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}


def half_size(photo: Image.Image) -> Image.Image:
    return photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)


def cropped(photo: Image.Image) -> Image.Image:
    """By a tenth in each direction, around the middle."""
    x, y = photo.width // 20, photo.height // 20
    return photo.crop((x, y, photo.width - x, photo.height - y))


def brightened(photo: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(photo).enhance(1.25)


Variant = tuple[Callable[[Image.Image], Image.Image], int]
VARIANTS: dict[str, Variant] = {
    "half": (half_size, 90),
    "quality30": (Image.Image.copy, 30),
    "cropped": (cropped, 90),
    "brightened": (brightened, 90),
}
"""Name: the change, and the JPEG quality it is saved with."""


def find_photos() -> Iterator[Path]:
    for package, files in PHOTOS.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{package} is not installed; run `make setup`.")
        for file in files:
            yield Path(spec.origin).parent / file


def make_families(folder: Path) -> None:
    """Each photo as `name.original.ext`, its variants beside it; what precedes the dot is the family."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in find_photos():
        (folder / f"{source.stem}.original{source.suffix}").write_bytes(source.read_bytes())
        with Image.open(source) as opened:
            photo = opened.convert("RGB")
        for name, (change, quality) in VARIANTS.items():
            change(photo).save(folder / f"{source.stem}.{name}.jpg", quality=quality)


def family_of(label: str) -> str:
    return label.partition(".")[0]
