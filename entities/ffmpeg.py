"""A process of its own, in which FFmpeg reads one file: `python -m entities.ffmpeg REQUEST < FILE`.

FFmpeg takes the sizes that a file states at their word: two kilobytes can make it ask for gigabytes, and what
crashes in it takes its process along. So not the process that serves everybody, and with limits.

Answers one line of JSON: {"error": reason}, or the facts, or for a contact sheet its "size", and after the
line its pixels, in RGB.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from entities.sizes import Size, fit, turned

if sys.platform == "linux":
    import resource

MAX_MEMORY_BYTES = 2 * 1024**3
"""A key frame of 8K takes half of it."""
MAX_CPU_SECONDS = 60
MAX_PACKETS_PER_KEY_FRAME = 2000
MAX_FRAME_PIXELS = 8192 * 8192

_MICROSECONDS = 1_000_000

_OPTIONS = {
    "probesize": str(5 * 1024**2),
    "analyzeduration": str(5 * _MICROSECONDS),
    "max_streams": "100",
    "max_pixels": str(MAX_FRAME_PIXELS),
    # The file comes in as it is. What it names (another file, an address) is not opened.
    "protocol_whitelist": "none",
}

_TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    -180: Image.Transpose.ROTATE_180,
    -90: Image.Transpose.ROTATE_270,
}
"""By FFmpeg's rotation, in degrees counterclockwise: what turns the stored picture upright."""

_SIDEWAYS = {90, -90}


def main() -> None:
    _limit_this_process()
    request = json.loads(sys.argv[1])
    try:
        with _open(sys.stdin.buffer, request["demuxer"], certain=request["certain"]) as container:
            if request["sheet"] is None:
                _answer(_facts(container))
            else:
                sheet = _contact_sheet(container, **request["sheet"])
                _answer({"size": sheet.size}, sheet.tobytes())
    except (av.FFmpegError, NoPictureError, MemoryError) as error:
        _answer({"error": str(error) or type(error).__name__})


class NoPictureError(Exception):
    pass


def _answer(facts: dict[str, Any], pixels: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n" + pixels)


def _limit_this_process() -> None:
    if sys.platform == "linux":  # elsewhere memory is not limited; the time is, by who waits for the answer
        _lower_limit(resource.RLIMIT_AS, MAX_MEMORY_BYTES)
        _lower_limit(resource.RLIMIT_CPU, MAX_CPU_SECONDS)
        _lower_limit(resource.RLIMIT_CORE, 0)


def _lower_limit(kind: int, value: int) -> None:
    _, limit = resource.getrlimit(kind)
    value = value if limit == resource.RLIM_INFINITY else min(value, limit)
    resource.setrlimit(kind, (value, value))


# --- Opening ----------------------------------------------------------------------------------------------


class _File:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read = file.read
        self.tell = file.tell

    def seek(self, offset: int, whence: int) -> int:
        """Negative is FFmpeg's word for a failure; an exception would surface in some later call."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, OverflowError, ValueError):  # damaged bytes point before the start of the file
            return -1


def _open(file: BinaryIO, demuxer: str, *, certain: bool) -> InputContainer:
    return av.open(
        _File(file),
        "r",
        # If it is not certain what this is, all demuxers are asked, and this one must be the surest.
        format=demuxer if certain else None,
        options=_OPTIONS if certain else {**_OPTIONS, "format_whitelist": demuxer},
        metadata_errors="replace",
    )


def _films(container: InputContainer) -> list[VideoStream]:
    """Without the picture on the cover of an album."""
    return [video for video in container.streams.video if Disposition.attached_pic not in video.disposition]


def _decodable(films: list[VideoStream]) -> VideoStream | None:
    return next((film for film in films if isinstance(film.codec_context, VideoCodecContext)), None)


# --- Facts ------------------------------------------------------------------------------------------------


def _facts(container: InputContainer) -> dict[str, Any]:
    films = _films(container)
    return {
        "has_video": bool(films),
        "has_audio": bool(container.streams.audio),
        "size": _upright_size(container, films),
        "duration": _duration(container),
        "dates": _dates(container, films),
    }


def _upright_size(container: InputContainer, films: list[VideoStream]) -> Size | None:
    film = _decodable(films)
    if film is None:
        return None
    frame = _next_key_frame(container, film)  # only a decoded frame knows how it is turned
    if frame is not None:
        return _frame_size(frame)
    width, height = film.codec_context.width, film.codec_context.height
    return (width, height) if width > 0 and height > 0 else None


def _duration(container: InputContainer) -> float | None:
    if container.duration is None or container.duration <= 0:
        return None
    return container.duration / _MICROSECONDS


def _dates(container: InputContainer, films: list[VideoStream]) -> list[str]:
    """The first is Apple's: the only one with the offset from UTC of the place."""
    names = ("com.apple.quicktime.creationdate", "creation_time", "date")
    found = [*map(container.metadata.get, names), *(film.metadata.get("creation_time") for film in films)]
    return [date for date in found if date is not None]


# --- Key frames -------------------------------------------------------------------------------------------


def _contact_sheet(container: InputContainer, *, rows: int, columns: int, within: Size) -> Image.Image:
    """Key frames of one size, spread over the duration; a film of fewer has some of them again."""
    count = rows * columns
    cell = (within[0] // columns, within[1] // rows)
    pictures: list[Image.Image] = []
    for frame in _spread_key_frames(container, count):
        pictures.append(_picture(frame, pictures[0].size if pictures else fit(_frame_size(frame), cell)))
    if not pictures:
        raise NoPictureError("no picture in it can be decoded")
    width, height = pictures[0].size
    sheet = Image.new("RGB", (columns * width, rows * height))
    for number in range(count):
        row, column = divmod(number, columns)
        sheet.paste(pictures[number * len(pictures) // count], (column * width, row * height))
    return sheet


def _spread_key_frames(container: InputContainer, count: int) -> Iterator[VideoFrame]:
    """For each moment the key frame before it. Without a known duration: the first ones."""
    film = _decodable(_films(container))
    if film is None:
        return
    start, duration = container.start_time or 0, container.duration or 0
    for number in range(count):
        if duration > 0:
            with suppress(av.FFmpegError):  # some files cannot be sought in: then it is the next that comes
                container.seek(start + duration * (2 * number + 1) // (2 * count))
        frame = _next_key_frame(container, film)
        if frame is not None:
            yield frame


def _next_key_frame(container: InputContainer, film: VideoStream) -> VideoFrame | None:
    if not film.codec_context.is_open:
        film.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        film.codec_context.thread_count = 1  # each would take its share of the memory
    # Damaged here, perhaps not elsewhere. PyAV raises IndexError if a stream turns up after the others.
    with suppress(av.FFmpegError, IndexError):
        for packet in islice(container.demux(film), MAX_PACKETS_PER_KEY_FRAME):
            frames = _decode_alone(film, packet) if packet.is_keyframe else []
            if frames:
                return frames[0]
    return None


def _decode_alone(film: VideoStream, packet: Packet[VideoStream]) -> list[VideoFrame]:
    """Without waiting for the packets after it, by which a decoder would put frames in order."""
    frames = film.decode(packet) or film.decode(None)
    film.codec_context.flush_buffers()
    return frames


def _frame_size(frame: VideoFrame) -> Size:
    return turned((frame.width, frame.height), sideways=frame.rotation in _SIDEWAYS)


def _picture(frame: VideoFrame, size: Size) -> Image.Image:
    width, height = turned(size, sideways=frame.rotation in _SIDEWAYS)
    small = frame.reformat(width, height, format="rgb24", interpolation="AREA")
    picture: Image.Image = small.to_image()  # type: ignore[no-untyped-call]  # its result has no annotation
    turn = _TURNS.get(frame.rotation)
    return picture if turn is None else picture.transpose(turn)


if __name__ == "__main__":
    main()
