from __future__ import annotations

import random
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.ExifTags import Base

from entities import ffmpeg, images, video
from entities.metadata import (
    ImageTooLargeError,
    MediaMetadata,
    MetadataError,
    UndecodableImageError,
    describe,
)
from tests.entities.media import encoded, exif, film, photo, png_chunk, png_header

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # as the module under test does for the process

MAX_PIXELS = 20_000


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    return tmp_path / "upload"


def run_python(*arguments: str) -> str:
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, cwd=video._PROJECT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def described(upload: Path, content: bytes) -> MediaMetadata:
    upload.write_bytes(content)
    return describe(upload, max_pixels=MAX_PIXELS)


# --- Images larger than they look ---------------------------------------------------------------------------


def with_size(content: bytes, old: tuple[int, int], new: tuple[int, int], layout: str) -> bytes:
    """The image with another size in its header."""
    before, after = struct.pack(layout, *old), struct.pack(layout, *new)
    assert before in content
    return content.replace(before, after, 1)


BOMBS = {
    "png": png_header(60_000, 60_000),
    "png wide": png_header(2**31 - 1, 1),
    "jpeg": with_size(encoded(photo(64, 48), "JPEG"), (48, 64), (60_000, 60_000), ">HH"),
    "gif": with_size(encoded(photo(64, 48), "GIF"), (64, 48), (60_000, 60_000), "<HH"),
    "bmp": with_size(encoded(photo(64, 48), "BMP"), (64, 48), (60_000, 60_000), "<ii"),
    "tiff": encoded(photo(64, 48), "TIFF")
    .replace(struct.pack("<HHII", 256, 4, 1, 64), struct.pack("<HHII", 256, 4, 1, 60_000))
    .replace(struct.pack("<HHII", 257, 4, 1, 48), struct.pack("<HHII", 257, 4, 1, 60_000)),
    "webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x5f\xea\0" * 2 + bytes(8),
    "heif": encoded(photo(64, 64), "HEIF").replace(
        b"ispe" + bytes(4) + struct.pack(">II", 64, 64),
        b"ispe" + bytes(4) + struct.pack(">II", 15_000, 15_000),
    ),
    "avif": encoded(photo(64, 48), "AVIF").replace(
        b"ispe" + bytes(4) + struct.pack(">II", 64, 48),
        b"ispe" + bytes(4) + struct.pack(">II", 15_000, 15_000),
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(upload: Path, name: str) -> None:
    with pytest.raises(ImageTooLargeError):
        described(upload, BOMBS[name])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_bombs_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    for name, content in BOMBS.items():
        (tmp_path / name).write_bytes(content)
    program = """
import resource, sys
from pathlib import Path
from entities.metadata import ImageTooLargeError, describe

resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
for path in Path(sys.argv[1]).iterdir():
    try:
        describe(path, max_pixels=100_000_000)
    except ImageTooLargeError:
        print(path.name)
"""

    refused = run_python("-c", program, str(tmp_path)).splitlines()

    assert sorted(refused) == sorted(BOMBS)


def test_the_message_says_how_large_and_what_the_limit_is(upload: Path) -> None:
    with pytest.raises(ImageTooLargeError, match=r"3,600,000,000 pixels \(60000 x 60000\).* 20,000"):
        described(upload, png_header(60_000, 60_000))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF", "AVIF"])
def test_the_limit_is_the_last_size_that_is_allowed(upload: Path, format: str) -> None:
    assert described(upload, encoded(photo(200, 100), format)).width == 200

    with pytest.raises(ImageTooLargeError):
        described(upload, encoded(photo(202, 100), format))


def test_an_image_beyond_pillows_own_limit_is_a_question_of_ours(upload: Path) -> None:
    width, height = 20_000, 10_000
    rows = zlib.compressobj(9)
    pixels = b"".join([*(rows.compress(bytes(1 + width // 8)) for _ in range(height)), rows.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    upload.write_bytes(
        png_header(1, 1)[:8]
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", pixels)
        + png_chunk(b"IEND", b"")
    )

    assert describe(upload, max_pixels=200_000_000).width == width


def test_a_format_that_pillow_limits_itself(upload: Path) -> None:
    """More than Pillow allows on its own, and less than MAX_IMAGE_PIXELS."""
    Image.new("1", (15_000, 12_000)).save(upload, "TIFF", compression="group4")

    assert describe(upload, max_pixels=200_000_000).width == 15_000


@pytest.mark.parametrize("name", [b"zTXt", b"iCCP"])
def test_text_that_unpacks_to_more_than_the_image(upload: Path, name: bytes) -> None:
    bomb = png_chunk(name, b"Comment\0\0" + zlib.compress(bytes(100_000_000)))
    content = encoded(photo(), "PNG")
    header_end = 8 + 25

    with pytest.raises(ImageTooLargeError, match="over the limit"):
        described(upload, content[:header_end] + bomb + content[header_end:])


def test_a_file_that_no_decoder_should_hold_in_memory(upload: Path) -> None:
    with upload.open("wb") as file:
        file.write(encoded(photo(), "HEIF"))
        file.truncate(images.MAX_IMAGE_BYTES + 1)

    with pytest.raises(ImageTooLargeError, match="bytes; the limit is"):
        describe(upload, max_pixels=MAX_PIXELS)


def test_a_jpeg_of_too_many_scans(upload: Path) -> None:
    """Each is a pass over all pixels; that it says nothing new makes it no cheaper."""
    content, end = encoded(photo(), "JPEG", progressive=True)[:-2], b"\xff\xd9"
    scan = content[content.rindex(b"\xff\xda") :]

    assert described(upload, content + scan * 10 + end).mime_type == "image/jpeg"
    with pytest.raises(ImageTooLargeError, match="parts"):
        described(upload, content + scan * 1000 + end)


def test_scans_after_the_image_are_not_its_own(upload: Path) -> None:
    content = encoded(photo(), "JPEG", progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]

    assert described(upload, content + bytes(2) + scan * 1000).mime_type == "image/jpeg"


# --- Films that ask for too much ----------------------------------------------------------------------------


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + name + body


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_a_film_that_announces_more_samples_than_it_has(upload: Path, tmp_path: Path) -> None:
    """FFmpeg makes an entry of 24 bytes for each of them: here, gigabytes."""
    content = film(tmp_path / "film.mp4", options={"movflags": "frag_keyframe+empty_moov"}).read_bytes()
    announcement = box(b"trun", struct.pack(">IIi", 1, 2**26, 0))
    fragment = box(
        b"moof",
        box(b"mfhd", struct.pack(">II", 0, 1)),
        box(b"traf", box(b"tfhd", struct.pack(">II", 0x20000, 1)), announcement),
    )
    first_fragment = content.index(b"moof") - 4
    upload.write_bytes(content[:first_fragment] + fragment + content[first_fragment:])
    program = """
import resource, sys
from pathlib import Path
from entities.metadata import describe

print(describe(Path(sys.argv[1]), max_pixels=1).mime_type)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""

    mime_type, kilobytes = run_python("-c", program, str(upload)).split()

    assert mime_type == "video/mp4"
    assert int(kilobytes) < 500_000


def test_a_place_before_the_start_of_the_file() -> None:
    assert ffmpeg._File(BytesIO(b"content")).seek(-1, 0) < 0


# --- Noise --------------------------------------------------------------------------------------------------


def mutated(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice([1, 2, 5, 20])):
        at = chance.randrange(chance.choice([64, 512, len(changed)])) % len(changed)
        match chance.randrange(4):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                changed[at : at + 4] = chance.choice(
                    [b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\1"]
                )
            case 2:
                del changed[at : at + chance.choice([1, 4, 50])]
                changed += b"\0"
            case _:
                changed[at:at] = chance.randbytes(chance.choice([1, 4, 50]))
    return bytes(changed)


IMAGES = {
    **{
        name: encoded(photo(), name, exif=exif(orientation=6, tags={Base.DateTime: "2020:01:02 03:04:05"}))
        for name in ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF")
    },
    "GIF": encoded(photo(), "GIF", save_all=True, append_images=[photo().rotate(90)]),
    "BMP": encoded(photo(), "BMP"),
    "MPO": encoded(photo(), "MPO", save_all=True, append_images=[photo()]),
    "compressed TIFF": encoded(photo(), "TIFF", compression="tiff_lzw"),
    "APNG": encoded(photo(), "PNG", save_all=True, append_images=[photo().rotate(90)]),
}


@pytest.mark.parametrize("name", IMAGES)
def test_damaged_images_are_described_or_refused(upload: Path, name: str) -> None:
    chance = random.Random(name)
    outcomes = [outcome(upload, mutated(IMAGES[name], chance)) for _ in range(60)]

    assert {"described", "refused"} == set(outcomes)


def outcome(upload: Path, content: bytes) -> str:
    """Anything but the two errors that are declared comes through."""
    try:
        described(upload, content)
    except (UndecodableImageError, ImageTooLargeError):
        return "refused"
    return "described"


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4"), ("mpg", "mpeg2video"), ("wmv", "wmv2")],
)
def test_damaged_films_are_never_refused(upload: Path, tmp_path: Path, suffix: str, codec: str) -> None:
    content = film(tmp_path / f"film.{suffix}", codec=codec, frames=5).read_bytes()
    chance = random.Random(suffix)

    for _ in range(10):
        assert described(upload, mutated(content, chance)).mime_type


# --- Neighbours ---------------------------------------------------------------------------------------------


def test_the_errors_are_one_family_and_say_what_is_wrong_with_a_value() -> None:
    for error in (UndecodableImageError, ImageTooLargeError):
        assert issubclass(error, MetadataError)
        assert issubclass(error, ValueError)


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    contents = [*IMAGES.values(), BOMBS["png"], encoded(photo(), "JPEG")[:-50]]
    filters, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS

    def words(number: int) -> str:
        path = tmp_path / str(number)
        path.write_bytes(contents[number % len(contents)])
        try:
            return str(describe(path, max_pixels=MAX_PIXELS))
        except MetadataError as error:
            return str(error)

    alone = [words(number) for number in range(len(contents))]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(words, range(10 * len(contents))))

    assert together == alone * 10
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == (filters, limit)


def test_no_warning_comes_out(upload: Path) -> None:
    """Pillow warns of both: of many pixels, and of EXIF that ends too early."""
    broken_exif = exif(tags={Base.DateTimeOriginal: "2020:01:02 03:04:05"})[:-30]
    upload.write_bytes(encoded(photo(), "JPEG", exif=broken_exif))
    program = (
        "import sys, warnings; from pathlib import Path; from entities.metadata import describe;"
        "from PIL import Image; Image.MAX_IMAGE_PIXELS = 1000;"
        "print(describe(Path(sys.argv[1]), max_pixels=10**9).mime_type)"
    )
    assert run_python("-c", program, str(upload)) == "image/jpeg\n"
