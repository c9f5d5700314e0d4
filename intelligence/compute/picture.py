"""One image for all its tasks: upright, RGB, decoded once and no larger than the tasks need."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from intelligence.compute.decoding import Size, decode, scaled_size

Pixels = NDArray[np.uint8]
"""Shape (height, width, 3), RGB, contiguous; perhaps not to be written to."""

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom; right and bottom are outside."""

WORKING_SIDE = 1024
"""What a first decode is at least good for."""

_TWICE = 2
"""What is resampled comes from at least so much more detail, where there is some."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation: what turns the stored image upright."""

_SIDEWAYS = range(5, 9)
_STORED_RIGHT_TO_LEFT = (2, 3, 7, 8)
_STORED_BOTTOM_UP = (3, 4, 6, 7)


class Picture:
    """Used by one thread, for as long as its tasks take.

    A JPEG is first decoded reduced, to WORKING_SIDE or a little more: a quarter of the time and, for a
    photo of 50 megapixels, 10 MB instead of 200. Only if a region is asked for in more detail, as for the
    crop of a small face, is it decoded again. What is needed much smaller comes from a half, or a half of
    that, made once for all tasks: filters take as long as the image they read is large. One decoded image is
    held at a time.
    """

    def __init__(self, source: Path | BytesIO, *, max_pixels: int) -> None:
        self._source = source
        self._max_pixels = max_pixels
        self._decoded = decode(source, max_pixels=max_pixels, long_side=WORKING_SIDE)
        self._halves: list[Image.Image] = []
        self._scaled: dict[int, Pixels] = {}

    @property
    def size(self) -> Size:
        """Of the upright picture, at full resolution."""
        return self._turned(self._decoded.full_size)

    def scaled_size(self, long_side: int) -> Size:
        return scaled_size(self.size, long_side)

    def within(self, long_side: int) -> Pixels:
        """The whole picture, scaled down to that longer side; as it is if smaller. Shared: do not write."""
        if long_side not in self._scaled:
            self._scaled[long_side] = self.region((0, 0, *self.scaled_size(long_side)), long_side)
        return self._scaled[long_side]

    def at_least(self, long_side: int) -> Pixels:
        """The whole picture at that longer side, or up to twice it; as it is if smaller. Where sides are odd
        it may end half a pixel early."""
        self._need(min(max(self.size), long_side))
        return self._upright(self._smallest(long_side)[0])

    def region(self, box: PixelBox, long_side: int) -> Pixels:
        """What lies in the box when the picture is scaled down to that longer side."""
        size = self.scaled_size(long_side)
        self._need(max(size))
        return self._cut(size, box, Image.Resampling.BILINEAR)

    def resampled(self, size: Size, box: PixelBox, resample: Image.Resampling) -> Pixels:
        """What lies in the box when the picture is brought to exactly that size, larger or smaller, by that
        filter; as if the whole were resized and then cut."""
        self._need(min(max(self.size), _TWICE * max(size)))
        return self._cut(size, box, resample)

    def _cut(self, size: Size, box: PixelBox, resample: Image.Resampling) -> Pixels:
        left, top, right, bottom = self._as_stored(box, size)
        image, smaller = self._smallest(_TWICE * max(size))
        width, height = (side / smaller for side in self._decoded.image.size)
        cut = image.resize(
            self._turned((box[2] - box[0], box[3] - box[1])),
            resample=resample,
            box=(left * width, top * height, right * width, bottom * height),
        )
        return self._upright(cut)

    def _smallest(self, long_side: int) -> tuple[Image.Image, int]:
        """Of the decoded image and its halves, the smallest that has at least that longer side; and how many
        times smaller it is."""
        image, number = self._decoded.image, 0
        while max(self._decoded.image.size) >= 2 ** (number + 1) * long_side:
            if len(self._halves) == number:
                self._halves.append(image.reduce(2))
            image, number = self._halves[number], number + 1
        return image, 2**number

    def _upright(self, image: Image.Image) -> Pixels:
        method = _UPRIGHT.get(self._decoded.orientation)
        return np.asarray(image if method is None else image.transpose(method))

    def _need(self, long_side: int) -> None:
        if max(self._decoded.image.size) < long_side:
            self._decoded = decode(self._source, max_pixels=self._max_pixels, long_side=long_side)
            self._halves.clear()

    def _turned(self, size: Size) -> Size:
        """A size as stored for one that is upright, and the other way round."""
        return (size[1], size[0]) if self._decoded.orientation in _SIDEWAYS else size

    def _as_stored(self, box: PixelBox, size: Size) -> tuple[float, float, float, float]:
        """Where a box of the upright picture lies in the stored image; fractions of its width and height."""
        left, top, right, bottom = box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]
        if self._decoded.orientation in _SIDEWAYS:
            left, top, right, bottom = top, left, bottom, right
        if self._decoded.orientation in _STORED_RIGHT_TO_LEFT:
            left, right = 1 - right, 1 - left
        if self._decoded.orientation in _STORED_BOTTOM_UP:
            top, bottom = 1 - bottom, 1 - top
        return left, top, right, bottom


def encode_png(pixels: Pixels) -> bytes:
    """Packed lightly: the usual way takes four times as long, for a file that is an eighth smaller."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
