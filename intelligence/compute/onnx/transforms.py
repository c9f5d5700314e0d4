"""From a picture to the pixels that a model was trained to see, as the files beside the model state it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import Image

from intelligence.compute.onnx.image_input import Normalisation
from intelligence.compute.onnx.settings_files import SettingsFile
from intelligence.compute.picture import Picture, Pixels

HeightWidth = tuple[int, int]


class ResizeMode(StrEnum):
    SHORTEST = "shortest"  # the shorter side becomes what is asked for
    LONGEST = "longest"  # the longer side does, and the rest is filled
    SQUASH = "squash"  # both do, whatever becomes of the proportions


@dataclass(frozen=True)
class ImageTransform:
    mode: ResizeMode
    resize: HeightWidth
    output: HeightWidth
    """Cut from the middle; what is missing is filled with `fill`."""
    resample: Image.Resampling
    normalisation: Normalisation
    fill: int = 0

    def apply(self, picture: Picture) -> Pixels:
        """Shape (*output, 3). Only what the cut keeps is computed."""
        width, height = self._resized(picture.size)
        left, right = _middle(width, self.output[1])
        top, bottom = _middle(height, self.output[0])
        kept = picture.resampled((width, height), (left, top, right, bottom), self.resample)
        if kept.shape[:2] == self.output:
            return kept
        canvas = np.full((*self.output, 3), self.fill, dtype=np.uint8)
        above, aside = (self.output[0] - kept.shape[0]) // 2, (self.output[1] - kept.shape[1]) // 2
        canvas[above : above + kept.shape[0], aside : aside + kept.shape[1]] = kept
        return canvas

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height; sides in proportion are cut to whole pixels as the libraries do it."""
        width, height = size
        if self.mode is ResizeMode.SQUASH:
            return self.resize[1], self.resize[0]
        if self.mode is ResizeMode.LONGEST:
            ratio = max(height / self.resize[0], width / self.resize[1])
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        short = min(self.resize)
        if width <= height:
            return short, int(short * height / width)
        return int(short * width / height), short


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), scale=1 / 255)

DINOV2 = ImageTransform(ResizeMode.SHORTEST, (256, 256), (224, 224), Image.Resampling.BICUBIC, IMAGENET)
"""How DINOv2 is evaluated; for files that come without their own word."""

_OPEN_CLIP_RESAMPLES = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def open_clip_transform(settings: SettingsFile) -> ImageTransform:
    """Of a `preprocess_cfg.json`."""
    size = _height_width(settings, "size")
    try:
        mode = ResizeMode(settings.word("resize_mode", "shortest"))
    except ValueError as error:
        raise settings.wrong("resize_mode") from error
    interpolation = settings.word("interpolation", "bicubic")
    if interpolation not in _OPEN_CLIP_RESAMPLES:
        raise settings.wrong("interpolation")
    normalisation = Normalisation(settings.colour("mean"), settings.colour("std"), scale=1 / 255)
    fill = round(settings.number("fill_color", 0))
    return ImageTransform(mode, size, size, _OPEN_CLIP_RESAMPLES[interpolation], normalisation, fill)


def processor_transform(settings: SettingsFile) -> ImageTransform:
    """Of a `preprocessor_config.json`, as transformers and transformers.js have it."""
    if not settings.flag("do_resize", default=True):
        raise settings.wrong("do_resize")
    crops = settings.flag("do_center_crop", default="crop_size" in settings)
    size = settings.part("size") if isinstance(settings.raw("size"), dict) else settings
    if "height" in size:
        mode, resize = ResizeMode.SQUASH, (size.length("height"), size.length("width"))
    else:
        side = size.length("size" if size is settings else "shortest_edge")
        mode, resize = ResizeMode.SHORTEST if crops else ResizeMode.SQUASH, (side, side)
        if not crops and size is not settings:
            raise settings.wrong("do_center_crop")  # the sizes of its images would differ
    output = _height_width(settings, "crop_size") if crops else resize
    return ImageTransform(mode, resize, output, _resample(settings), _normalisation(settings))


def _normalisation(settings: SettingsFile) -> Normalisation:
    scale = settings.number("rescale_factor", 1 / 255) if settings.flag("do_rescale", default=True) else 1.0
    if not settings.flag("do_normalize", default=True):
        return Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), scale)
    return Normalisation(settings.colour("image_mean"), settings.colour("image_std"), scale)


def _resample(settings: SettingsFile) -> Image.Resampling:
    try:
        return Image.Resampling(settings.length("resample"))
    except ValueError as error:
        raise settings.wrong("resample") from error


def _height_width(settings: SettingsFile, key: str) -> HeightWidth:
    value = settings.raw(key)
    if isinstance(value, dict):
        return settings.part(key).length("height"), settings.part(key).length("width")
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, int) and v > 0 for v in value):  # noqa: PLR2004 - height and width
        return value[0], value[1]
    side = settings.length(key)
    return side, side


def _middle(length: int, wanted: int) -> tuple[int, int]:
    """Where the middle begins and ends; all of it if there is less than wanted."""
    if length <= wanted:
        return 0, length
    start = (length - wanted) // 2
    return start, start + wanted
