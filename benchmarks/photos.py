"""Photos of about 430 KB, each unlike the others, the same in every run."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image

SIZE = (1600, 1200)
NOISE_SIZE = (360, 270)
QUALITY = 60
"""Noise of that size, enlarged and compressed like this, gives 430 KB."""


def write_photo(path: Path, seed: int) -> None:
    width, height = NOISE_SIZE
    noise = Image.frombytes("RGB", NOISE_SIZE, random.Random(seed).randbytes(width * height * 3))
    noise.resize(SIZE, Image.Resampling.BICUBIC).save(path, "JPEG", quality=QUALITY)


def write_photos(folder: Path, seeds: range) -> list[Path]:
    paths = [folder / f"photo-{seed}.jpg" for seed in seeds]
    for path, seed in zip(paths, seeds, strict=True):
        write_photo(path, seed)
    return paths
