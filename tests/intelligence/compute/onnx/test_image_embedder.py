"""What reaches a model, against the stated transforms done step by step on the whole image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.layouts import open_clip, open_dino
from intelligence.compute.onnx.session import SessionSettings
from tests.intelligence.compute.onnx.layouts import (
    OPENAI_MEAN,
    OPENAI_STD,
    write_immich,
    write_json,
    write_token_tower,
    write_transformers,
    write_vision_tower,
)
from tests.intelligence.compute.pictures import OpenPicture

BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
NO_MEAN, NO_STD = [0.0] * 3, [1.0] * 3
HALF = [0.5] * 3

Floats = NDArray[np.float64]
Steps = Callable[[Image.Image], Image.Image]


def shortest(short: int, side: int, resample: Image.Resampling) -> Steps:
    def steps(image: Image.Image) -> Image.Image:
        width, height = image.size
        size = (
            (short, int(short * height / width)) if width < height else (int(short * width / height), short)
        )
        resized = image.resize(size, resample)
        left, top = (resized.width - side) // 2, (resized.height - side) // 2
        return resized.crop((left, top, left + side, top + side))

    return steps


def squash(side: int, resample: Image.Resampling) -> Steps:
    return lambda image: image.resize((side, side), resample)


def stated(image: Image.Image, steps: Steps, mean: list[float], std: list[float]) -> Floats:
    """Shape (3, side, side), RGB."""
    pixels = np.asarray(steps(image), dtype=np.float64) / 255
    return ((pixels - mean) / std).transpose(2, 0, 1)


def apart(vector: NDArray[np.float32], expected: Floats, std: list[float]) -> float:
    """How far the pixels that were fed are from those expected, on average, in steps of 1/255."""
    fed = vector.reshape(expected.shape) * np.linalg.norm(expected)
    return float((np.abs(fed - expected).mean(axis=(1, 2)) * std).mean() * 255)


EXACT = 0.3
"""The two passes of a resize round in between, and Pillow may take the one or the other first."""

CLIP_FOLDERS: dict[str, tuple[Callable[[Path], Path], Steps, tuple[list[float], list[float]]]] = {
    "Immich's CLIP": (
        write_immich,
        shortest(224, 224, BICUBIC),
        (OPENAI_MEAN, OPENAI_STD),
    ),
    "Immich's SigLIP": (
        lambda folder: write_immich(folder, size=256, mean=HALF, std=HALF, resize_mode="squash"),
        squash(256, BICUBIC),
        (HALF, HALF),
    ),
    "transformers.js's CLIP": (
        write_transformers,
        shortest(224, 224, BICUBIC),
        (OPENAI_MEAN, OPENAI_STD),
    ),
    "transformers.js's MobileCLIP": (
        lambda folder: write_transformers(folder, do_normalize=False, resample=2, image_mean=None),
        shortest(224, 224, BILINEAR),
        (NO_MEAN, NO_STD),
    ),
    "transformers.js's SigLIP": (
        lambda folder: write_transformers(
            folder,
            size={"height": 224, "width": 224},
            do_center_crop=None,
            crop_size=None,
            image_mean=HALF,
            image_std=HALF,
        ),
        squash(224, BICUBIC),
        (HALF, HALF),
    ),
}


@pytest.mark.parametrize("layout", CLIP_FOLDERS)
@pytest.mark.parametrize("name", ["chelsea", "rocket", "china"])
def test_clip_is_fed_as_its_files_state(
    tmp_path: Path, open_picture: OpenPicture, photos: dict[str, Path], layout: str, name: str
) -> None:
    write, steps, (mean, std) = CLIP_FOLDERS[layout]
    named, _ = open_clip(write(tmp_path / "clip"), SessionSettings())
    image = Image.open(photos[name]).convert("RGB")
    for upright in (image, image.rotate(90, expand=True)):
        vector = named.engine.embed(open_picture(upright))
        assert apart(vector, stated(upright, steps, mean, std), std) < EXACT
        red, green, blue = upright.split()
        swapped = Image.merge("RGB", (blue, green, red))
        assert apart(vector, stated(swapped, steps, mean, std), std) > 3
        one_aside = upright.transform(upright.size, Image.Transform.AFFINE, (1, 0, 1, 0, 1, 0))
        assert apart(vector, stated(one_aside, steps, mean, std), std) > 2 * EXACT


def test_dino_is_fed_as_its_files_state(
    tmp_path: Path, open_picture: OpenPicture, photos: dict[str, Path]
) -> None:
    """Resized to 256, of which the middle 224 are cut; its vector is the first token."""
    write_token_tower(tmp_path / "dino" / "onnx" / "model.onnx")
    write_json(
        tmp_path / "dino" / "preprocessor_config.json",
        size={"shortest_edge": 256},
        crop_size={"height": 224, "width": 224},
        resample=3,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
        rescale_factor=1 / 255,
    )
    image = Image.open(photos["coffee"]).convert("RGB")
    expected = stated(image, shortest(256, 224, BICUBIC), IMAGENET_MEAN, IMAGENET_STD)
    with_settings = open_dino(tmp_path / "dino", SessionSettings())
    bare = open_dino(tmp_path / "dino" / "onnx" / "model.onnx", SessionSettings())
    for named in (with_settings, bare):
        assert apart(named.engine.embed(open_picture(image)), expected, IMAGENET_STD) < EXACT
    assert with_settings.name.startswith("dino-")
    assert with_settings.engine.dimension == 3 * 224 * 224


def test_dino_v3_is_squashed_where_its_file_says_so(
    tmp_path: Path, open_picture: OpenPicture, photos: dict[str, Path]
) -> None:
    write_vision_tower(tmp_path / "onnx" / "model.onnx", fed="pixel_values", given="pooler_output")
    write_json(
        tmp_path / "preprocessor_config.json",
        size={"height": 224, "width": 224},
        resample=2,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
    )
    image = Image.open(photos["coffee"]).convert("RGB")
    vector = open_dino(tmp_path, SessionSettings()).engine.embed(open_picture(image))
    expected = stated(image, squash(224, BILINEAR), IMAGENET_MEAN, IMAGENET_STD)
    assert apart(vector, expected, IMAGENET_STD) < EXACT


def test_longest_side_is_fitted_and_the_rest_filled(tmp_path: Path, open_picture: OpenPicture) -> None:
    folder = write_immich(tmp_path / "clip", resize_mode="longest", fill_color=255)
    named, _ = open_clip(folder, SessionSettings())
    expected = Image.new("RGB", (224, 224), "white")
    expected.paste("navy", (0, 56, 224, 168))
    vector = named.engine.embed(open_picture(Image.new("RGB", (400, 200), "navy")))
    as_is = stated(expected, lambda image: image, OPENAI_MEAN, OPENAI_STD)
    assert apart(vector, as_is, OPENAI_STD) < 1e-3


def test_reduced_decode_of_a_large_jpeg_changes_next_to_nothing(
    tmp_path: Path, open_picture: OpenPicture, photos: dict[str, Path]
) -> None:
    large = Image.open(photos["china"]).convert("RGB").resize((5000, 3300), BICUBIC)
    large.save(tmp_path / "large.jpg", quality=92)
    named, _ = open_clip(write_immich(tmp_path / "clip"), SessionSettings())
    whole = Image.open(tmp_path / "large.jpg").convert("RGB")
    expected = stated(whole, shortest(224, 224, BICUBIC), OPENAI_MEAN, OPENAI_STD)
    assert apart(named.engine.embed(open_picture(tmp_path / "large.jpg")), expected, OPENAI_STD) < 1


def test_panorama_costs_no_more_than_what_is_kept(tmp_path: Path, open_picture: OpenPicture) -> None:
    named, _ = open_clip(write_immich(tmp_path / "clip"), SessionSettings())
    strip = Image.linear_gradient("L").resize((60_000, 8)).convert("RGB")
    vector = named.engine.embed(open_picture(strip))
    assert vector.shape == (3 * 224 * 224,)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"resample": 9}, "resample"),
        ({"resample": None}, "resample"),
        ({"image_mean": [0.5]}, "image_mean"),
        ({"do_resize": False}, "do_resize"),
        ({"do_center_crop": False}, "do_center_crop"),
        ({"size": {"longest_edge": 224}}, "shortest_edge"),
        ({"crop_size": -1}, "crop_size"),
    ],
)
def test_what_is_not_understood_is_named_and_not_guessed_at(
    tmp_path: Path, wrong: dict[str, object], key: str
) -> None:
    folder = write_transformers(tmp_path / "clip", **wrong)
    with pytest.raises(ModelFileError, match=rf"preprocessor_config.json: {key} is"):
        open_clip(folder, SessionSettings())


def test_file_of_another_size_than_stated_is_named(tmp_path: Path, open_picture: OpenPicture) -> None:
    folder = write_immich(tmp_path / "clip")
    write_vision_tower(folder / "visual" / "model.onnx", fed="image", given="embedding", side=256)
    named, _ = open_clip(folder, SessionSettings())
    with pytest.raises(ModelFileError, match=r"\(256, 256\) pixels, not the \(224, 224\)"):
        named.engine.embed(open_picture(Image.new("RGB", (300, 300), "red")))


def test_name_changes_with_the_settings_beside_the_file(tmp_path: Path) -> None:
    folders = [tmp_path / number / "ViT-B-32__openai" for number in "123"]
    for folder in folders[:2]:
        write_immich(folder)
    write_immich(folders[2], interpolation="bilinear")
    names = {open_clip(folder, SessionSettings())[0].name for folder in folders}
    assert len(names) == 2
    assert all(name.startswith("vit-b-32-openai-") for name in names)
