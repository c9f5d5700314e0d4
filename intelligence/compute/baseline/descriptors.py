"""What a picture looks like, in numbers: near-duplicates lie close together. Nothing about what it shows."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from intelligence.compute.base import Vector
from intelligence.compute.baseline.gist_mean import GIST_MEAN
from intelligence.compute.picture import Picture

Plane = NDArray[np.float32]
"""Shape (height, width)."""

DCT_DIMENSION = 384
GIST_DIMENSION = 128
DCT_GIST_DIMENSION = DCT_DIMENSION + GIST_DIMENSION

_READ_AT = 256  # enough for both; all further scaling starts from here

_DCT_SIDE = 64
_LUMA_FREQUENCIES = 16
_CHROMA_FREQUENCIES = 8
_NEUTRAL_CHROMA = 128.0

_GIST_SIDE = 96
_GIST_GRID = (4, 4)
_GIST_WAVELENGTHS = (4.0, 8.0)
_GIST_ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_CONTRAST_SIGMA = 8.0
_CONTRAST_FLOOR = 10.0  # grey levels; keeps the noise of flat skies from looking like texture

_DCT_WEIGHT = 0.75
_GIST_WEIGHT = 0.66


def dct_descriptor(picture: Picture) -> Vector:
    """Shape (384,), length 1: the low frequencies of luma (16 x 16) and of the two chroma planes (8 x 8).

    The mean luma is left out, so that brightness matters little. Each coefficient counts as the square root
    of its share per frequency: so a few large ones do not decide alone, and a crop stays near its original.
    """
    small = cv2.resize(picture.within(_READ_AT), (_DCT_SIDE, _DCT_SIDE), interpolation=cv2.INTER_AREA)
    luma, red, blue = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb).astype(np.float32))
    of_luma = _low_frequencies(luma - luma.mean(), _LUMA_FREQUENCIES)
    of_red = _low_frequencies(red - _NEUTRAL_CHROMA, _CHROMA_FREQUENCIES)
    of_blue = _low_frequencies(blue - _NEUTRAL_CHROMA, _CHROMA_FREQUENCIES)
    return _unit(np.concatenate([of_luma.ravel(), of_red.ravel(), of_blue.ravel()]))


def dct_gist_descriptor(picture: Picture) -> Vector:
    """Shape (512,), length 1: the DCT descriptor beside the GIST, centred on that of photos."""
    gist = _unit(gist_descriptor(picture) - np.array(GIST_MEAN, dtype=np.float32).ravel())
    return _unit(np.concatenate([_DCT_WEIGHT * dct_descriptor(picture), _GIST_WEIGHT * gist]))


def gist_descriptor(picture: Picture) -> Vector:
    """Shape (128,), length 1: how much of each scale and direction there is, in each cell of a 4 x 4 grid."""
    small = cv2.resize(picture.within(_READ_AT), (_GIST_SIDE, _GIST_SIDE), interpolation=cv2.INTER_AREA)
    plane = _even_contrast(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32))
    energies = [_energy(plane, even, odd) for even, odd in _FILTERS]
    cells = [cv2.resize(energy, _GIST_GRID, interpolation=cv2.INTER_AREA).ravel() for energy in energies]
    return _unit(np.concatenate(cells))


def _low_frequencies(plane: Plane, count: int) -> Plane:
    coefficients = cv2.dct(plane)[:count, :count]
    frequency = np.add.outer(np.arange(count), np.arange(count)) + 1
    return cast("Plane", np.sign(coefficients) * np.sqrt(np.abs(coefficients) / frequency))


def _even_contrast(plane: Plane) -> Plane:
    centred = plane - cv2.GaussianBlur(plane, (0, 0), _CONTRAST_SIGMA)
    contrast = np.sqrt(cv2.GaussianBlur(centred**2, (0, 0), _CONTRAST_SIGMA))
    return cast("Plane", centred / (contrast + _CONTRAST_FLOOR))


def _energy(plane: Plane, even: Plane, odd: Plane) -> Plane:
    return cast("Plane", np.hypot(cv2.filter2D(plane, -1, even), cv2.filter2D(plane, -1, odd)))


def _gabor(wavelength: float, angle: float, phase: float) -> Plane:
    """One octave wide, without response to a flat area, its weights' magnitudes adding up to 1."""
    sigma = 0.56 * wavelength
    side = 2 * int(np.ceil(2.5 * sigma)) + 1
    kernel = cv2.getGaborKernel((side, side), sigma, angle, wavelength, 1.0, phase, ktype=cv2.CV_32F)
    kernel -= kernel.mean()
    return cast("Plane", kernel / np.abs(kernel).sum())


_FILTERS = [
    (_gabor(wavelength, angle, 0.0), _gabor(wavelength, angle, np.pi / 2))
    for wavelength in _GIST_WAVELENGTHS
    for angle in _GIST_ANGLES
]


def _unit(values: NDArray[np.float32]) -> Vector:
    """Length 1. What has no direction, as of a picture of one grey, points along the first axis."""
    length = float(np.linalg.norm(values))
    if length < np.finfo(np.float32).eps:
        first_axis = np.zeros(len(values), dtype=np.float32)
        first_axis[0] = 1
        return first_axis
    return (values / length).astype(np.float32)
