"""What a compute service says of its jobs, read without trusting it. Each reader raises ValueError."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from intelligence.compute.base import BoundingBox, DetectedFace, JobState, Landmarks, Point, Vector
from intelligence.compute.validation import CROP_SIZE, check_face, check_vector
from intelligence.vocabulary import TaskType

MAX_FACES = 500
MAX_CROP_BYTES = 256 * 1024
"""A crop of 112x112 takes 37 KB uncompressed."""
NPY_HEADER_BYTES = 4096

_STATES = {
    "queued": JobState.QUEUED,
    "processing": JobState.RUNNING,
    "in_progress": JobState.RUNNING,
    "completed": JobState.COMPLETED,
    "error": JobState.FAILED,
    "failed": JobState.FAILED,
}
"""Both vocabularies: the one that the service uses and the one that its schema promises."""

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SAFE_PATH = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/){0,7}[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_NPY_HEADER = re.compile(
    rb"\{'descr': '([^']{1,16})', 'fortran_order': False, 'shape': \(([0-9, ]{0,64})\), \}"
)
_ABSOLUTE_PATH = re.compile(r"(?:(?<![\w.])[A-Za-z]:)?(?:[\\/][^\s\\/:;,'\"<>|]+)+[\\/]?")
_OF_THE_IMAGE = re.compile(r"load image|identify image|not an image|corrupt|truncated|decod", re.IGNORECASE)

_MAX_ERROR = 300
_MAX_SIDE = 1_000_000  # pixels
_OVER_THE_EDGE = 1.0
"""A box may reach over the image's edge, by so much of its width or height, and is cut there."""
_HALF_SHARP = 100.0


@dataclass(frozen=True)
class ServiceJob:
    task: TaskType
    state: JobState
    output_path: object  # to be checked where it is used
    output: Mapping[str, Any]
    error: str

    @property
    def failed_for_good(self) -> bool:
        """It is the image's doing: another try would end the same way."""
        return _OF_THE_IMAGE.search(self.error) is not None


@dataclass(frozen=True)
class FoundFace:
    bbox: BoundingBox
    landmarks: Landmarks
    confidence: float
    crop_path: str
    side: float
    """The box's width in pixels of the image."""

    def with_crop(self, crop: bytes) -> DetectedFace:
        face = DetectedFace(
            bbox=self.bbox,
            landmarks=self.landmarks,
            confidence=self.confidence,
            quality=0.0,
            crop=crop,
        )
        check_face(face)
        return replace(face, quality=_quality(self.side, crop))


def is_job_id(text: object) -> bool:
    return isinstance(text, str) and _JOB_ID.fullmatch(text) is not None


def read_job(fields: Mapping[str, Any], job_id: str) -> ServiceJob:
    if fields.get("job_id") != job_id:
        raise ValueError("it answers about another job")
    state = _STATES.get(_text(fields, "status"))
    if state is None:
        raise ValueError(f"the status {_text(fields, 'status')[:40]!r} is not known")
    return ServiceJob(
        task=TaskType(_text(fields, "task_type")),
        state=state,
        output_path=_object(fields.get("params") or {}).get("output_path"),
        output=_object(fields.get("task_output") or {}),
        error=in_words(fields.get("error_message")),
    )


def read_vector(data: bytes, dimension: int) -> Vector:
    """From a .npy file of version 1; of length 1, whatever its length was. The header is read before anything
    is made room for, and by a pattern: nothing in it is evaluated.
    """
    descr, shape, start = _npy_header(data)
    if descr != "<f4" or shape != (dimension,):
        raise ValueError(f"expected {dimension} numbers <f4, got {shape or '()'} of {descr}")
    if len(data) != start + 4 * dimension:
        raise ValueError(f"expected {start + 4 * dimension} bytes, got {len(data)}")
    numbers = np.load(BytesIO(data), allow_pickle=False).astype(np.float32)
    length = float(np.linalg.norm(numbers.astype(np.float64)))
    if not np.isfinite(length) or length == 0:
        raise ValueError(f"expected finite numbers, not all of them zero; their length is {length}")
    return check_vector((numbers / length).astype(np.float32), dimension=dimension)


def read_faces(output: Mapping[str, Any]) -> list[FoundFace]:
    found = output.get("faces")
    if not isinstance(found, list):
        raise ValueError("it names no list of faces")  # noqa: TRY004  (of the answer, not of our types)
    if len(found) > MAX_FACES:
        raise ValueError(f"it found {len(found)} faces; at most {MAX_FACES} are taken")
    width = _number(output.get("image_width"), 1, _MAX_SIDE)
    return [_read_face(_object(fields), width) for fields in found]


def safe_path(path: object) -> str:
    """A path inside a job's folder: no step up, nothing encoded, nothing absolute."""
    if not isinstance(path, str) or _SAFE_PATH.fullmatch(path) is None:
        raise ValueError(f"the path {str(path)[:100]!r} is not one inside the job")
    return path


def in_words(message: object) -> str:
    """The service's own words without the folders of its machine, and of a length that can be shown."""
    text = " ".join(str(message or "").split())
    return _ABSOLUTE_PATH.sub(_last_part, text[: 4 * _MAX_ERROR])[:_MAX_ERROR]


def _last_part(path: re.Match[str]) -> str:
    return re.split(r"[\\/]", path[0].rstrip("\\/"))[-1]


def _npy_header(data: bytes) -> tuple[str, tuple[int, ...], int]:
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("it is no .npy file of version 1")
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _NPY_HEADER.fullmatch(data[10:start].strip())
    if header is None:
        raise ValueError("it is not the file of one plain vector")
    numbers = [int(number) for number in header[2].decode().split(",") if number.strip()]
    return header[1].decode(errors="replace"), tuple(numbers), start


def _read_face(fields: Mapping[str, Any], image_width: float) -> FoundFace:
    box = _object(fields.get("bbox"))
    bbox = BoundingBox(*(_within(box.get(corner)) for corner in ("x1", "y1", "x2", "y2")))
    points = _object(fields.get("landmarks"))
    return FoundFace(
        bbox=bbox,
        landmarks=Landmarks(**{name: _point(points.get(name)) for name in Landmarks.__dataclass_fields__}),
        confidence=_number(fields.get("confidence"), 0, 1),
        crop_path=safe_path(fields.get("file_path")),
        side=(bbox.x2 - bbox.x1) * image_width,
    )


def _point(value: object) -> Point:
    if not isinstance(value, list) or len(value) != len(("x", "y")):
        raise ValueError(f"expected a landmark as [x, y], got {str(value)[:40]}")
    return _within(value[0]), _within(value[1])


def _within(value: object) -> float:
    return min(1.0, max(0.0, _number(value, -_OVER_THE_EDGE, 1 + _OVER_THE_EDGE)))


def _number(value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"expected a number of {least:g} to {most:g}, got {str(value)[:40]}")
    return float(value)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"it has no {name}")  # noqa: TRY004
    return value


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, got {str(value)[:40]}")  # noqa: TRY004
    return value


def detail(body: Any) -> str:
    """Of an answer that is an error: a text, or the list of what is wrong with a form."""
    said = body.get("detail") if isinstance(body, Mapping) else None
    if isinstance(said, list):
        return in_words("; ".join(_complaints(said)))
    return in_words(said)


def _complaints(said: Iterable[object]) -> Iterable[str]:
    for complaint in islice(said, 5):
        if isinstance(complaint, Mapping):
            yield f"{complaint.get('loc')}: {complaint.get('msg')}"


def _quality(side: float, crop: bytes) -> float:
    """The service has none; ours is that of the local detector: the geometric mean of size and sharpness."""
    try:
        with Image.open(BytesIO(crop), formats=["PNG"]) as image:
            grey = np.asarray(image.convert("L"), dtype=np.float64)
    except (OSError, SyntaxError) as error:
        raise ValueError("the crop of a face is damaged") from error
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    variance = float(laplacian.var())
    return float(np.sqrt(min(1.0, side / CROP_SIZE[0]) * variance / (variance + _HALF_SHARP)))
