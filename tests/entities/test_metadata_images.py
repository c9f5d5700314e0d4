from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin
from PIL.ExifTags import Base
from PIL.JpegImagePlugin import JpegImageFile

from entities.metadata import MediaMetadata, UndecodableImageError, describe
from tests.entities.media import encoded, exif, photo

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # as the module under test does for the process

Describe = Callable[[bytes], MediaMetadata]


@pytest.fixture
def described(tmp_path: Path) -> Describe:
    def describe_bytes(content: bytes) -> MediaMetadata:
        path = tmp_path / "upload"
        path.write_bytes(content)
        return describe(path, max_pixels=1_000_000)

    return describe_bytes


FORMATS = [
    ("JPEG", "image/jpeg", "jpg"),
    ("PNG", "image/png", "png"),
    ("GIF", "image/gif", "gif"),
    ("WEBP", "image/webp", "webp"),
    ("BMP", "image/bmp", "bmp"),
    ("TIFF", "image/tiff", "tiff"),
    ("HEIF", "image/heic", "heic"),
    ("AVIF", "image/avif", "avif"),
]


@pytest.mark.parametrize(("format", "mime_type", "extension"), FORMATS)
def test_it_knows_the_format(described: Describe, format: str, mime_type: str, extension: str) -> None:
    found = described(encoded(photo(64, 48), format))

    assert found == MediaMetadata(mime_type, width=64, height=48)
    assert (found.type, found.extension) == ("image", extension)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_it_takes_pngs_of_any_mode(described: Describe, mode: str) -> None:
    image = Image.new(mode, (64, 48))

    assert described(encoded(image, "PNG")).width == 64


@pytest.mark.parametrize("mode", ["CMYK", "F", "I", "LAB"])
def test_it_takes_tiffs_of_any_mode(described: Describe, mode: str) -> None:
    assert described(encoded(Image.new(mode, (64, 48)), "TIFF")).width == 64


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4"])
def test_it_takes_compressed_tiffs(described: Describe, compression: str) -> None:
    image = photo().convert("1") if compression == "group4" else photo()

    assert described(encoded(image, "TIFF", compression=compression)).height == 48


def test_a_heif_by_the_codecs_name_among_the_compatible_brands(described: Describe) -> None:
    heic = encoded(photo(), "HEIF")
    avif = encoded(photo(), "AVIF")

    assert described(heic.replace(b"ftypheic", b"ftypmif1", 1)).mime_type == "image/heic"
    assert described(avif.replace(b"ftypavif", b"ftypmif1", 1)).mime_type == "image/avif"


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_frames_the_first_counts(described: Describe, format: str) -> None:
    content = encoded(photo(64, 48), format, save_all=True, append_images=[photo(64, 48).rotate(90)] * 2)

    assert (described(content).width, described(content).height) == (64, 48)


def test_two_pictures_in_one_jpeg_are_a_jpeg(described: Describe) -> None:
    content = encoded(photo(), "MPO", save_all=True, append_images=[photo()])

    assert b"MPF\0" in content
    assert described(content).mime_type == "image/jpeg"


@pytest.mark.parametrize(
    "trailer", [b"<html><script>alert(1)</script>", b"PK\x03\x04 and a zip", bytes(1000)]
)
@pytest.mark.parametrize("format", ["JPEG", "GIF", "PNG", "WEBP"])
def test_what_follows_an_image_does_not_matter(described: Describe, format: str, trailer: bytes) -> None:
    assert described(encoded(photo(), format) + trailer).type == "image"


# --- What cannot be decoded -------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [1, 10, 50, 90, 98])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF", "AVIF"])
def test_an_image_cut_short_is_refused(described: Describe, format: str, percent: int) -> None:
    noise = Image.effect_noise((96, 96), 80).convert("RGB")  # so that most of the file is pixels
    content = encoded(noise, format)
    cut = max(24, len(content) * percent // 100)

    with pytest.raises(UndecodableImageError, match="damaged or incomplete"):
        described(content[:cut])


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [3, 100, 5000])
def test_decoding_a_jpeg_small_notices_every_missing_byte(
    described: Describe, missing: int, *, progressive: bool
) -> None:
    noise = Image.effect_noise((400, 300), 80)
    content = encoded(noise, "JPEG", quality=95, progressive=progressive)

    assert described(content).width == 400
    with pytest.raises(UndecodableImageError):
        described(content[:-missing])


@pytest.mark.parametrize(
    "start",
    [
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"II*\0\x08\0\0\0",
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
    ],
)
def test_a_signature_is_not_an_image(described: Describe, start: bytes) -> None:
    with pytest.raises(UndecodableImageError):
        described(start + b"and then something else altogether. " * 20)


def test_the_message_names_format_and_reason(described: Describe) -> None:
    with pytest.raises(UndecodableImageError, match=r"begins like a JPEG image .* \(.*truncated.*\)"):
        described(encoded(photo(), "JPEG")[:-50])


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_what_the_disk_says_is_not_said_of_the_image(
    described: Describe, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(_image: Image.Image) -> None:
        raise OSError(number, "the disk failed")

    monkeypatch.setattr(JpegImageFile, "load", fail)

    with pytest.raises(OSError, match="the disk failed"):
        described(encoded(photo(), "JPEG"))


# --- Camera raw files: a thumbnail in a TIFF, or what no decoder here reads ---------------------------------


def raw(tags: dict[int, int | bytes]) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    return encoded(photo(), "TIFF", tiffinfo=directory)


def test_a_camera_raw_file_is_kept_as_a_file(described: Describe) -> None:
    dng, nikon, canon = (
        raw({50706: b"\1\4\0\0"}),
        raw({254: 1, 330: 8}),
        b"II*\0\x10\0\0\0CR\2\0" + bytes(500),
    )

    for content in (dng, nikon, canon):
        assert described(content) == MediaMetadata("application/octet-stream")


def test_an_ordinary_tiff_of_several_resolutions_is_an_image(described: Describe) -> None:
    assert described(raw({254: 0, 330: 8})).mime_type == "image/tiff"


# --- EXIF -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_width_and_height_are_of_the_upright_picture(
    described: Describe, format: str, orientation: int
) -> None:
    found = described(encoded(photo(64, 48), format, exif=exif(orientation=orientation)))

    assert (found.width, found.height) == ((48, 64) if orientation >= 5 else (64, 48))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(described: Describe, orientation: int) -> None:
    found = described(encoded(photo(64, 48), "JPEG", exif=exif(orientation=orientation)))

    assert (found.width, found.height) == (64, 48)


@pytest.mark.parametrize(
    ("tags", "date"),
    [
        ({Base.DateTimeOriginal: "2019:08:07 06:05:04"}, datetime(2019, 8, 7, 6, 5, 4, tzinfo=UTC)),
        (
            {
                Base.DateTimeOriginal: "2019:08:07 06:05:04",
                Base.SubsecTimeOriginal: "25",
                Base.OffsetTimeOriginal: "+05:30",
            },
            datetime(2019, 8, 7, 0, 35, 4, 250_000, tzinfo=UTC),
        ),
        (
            {Base.DateTimeOriginal: "2019:08:07 23:05:04", Base.OffsetTimeOriginal: "-01:00"},
            datetime(2019, 8, 8, 0, 5, 4, tzinfo=UTC),
        ),
        (
            {Base.DateTimeOriginal: "0000:00:00 00:00:00", Base.DateTimeDigitized: "2018:01:01 00:00:00"},
            datetime(2018, 1, 1, tzinfo=UTC),
        ),
        ({Base.DateTime: "2017-06-05 04:03:02"}, datetime(2017, 6, 5, 4, 3, 2, tzinfo=UTC)),
        (
            {Base.DateTimeOriginal: "2019:08:07 06:05:04", Base.OffsetTimeOriginal: "   :  "},
            datetime(2019, 8, 7, 6, 5, 4, tzinfo=UTC),
        ),
    ],
)
def test_the_capture_date(described: Describe, tags: dict[int, str], date: datetime) -> None:
    assert described(encoded(photo(), "JPEG", exif=exif(tags=tags))).create_date == date


@pytest.mark.parametrize(
    "text",
    [
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "2019:13:01 00:00:00",
        "2019:02:30 00:00:00",
        "2019:01:01 24:61:00",
        "yesterday",
        "",
    ],
)
def test_a_date_that_is_none(described: Describe, text: str) -> None:
    content = encoded(photo(), "JPEG", exif=exif(tags={Base.DateTimeOriginal: text}))

    assert described(content).create_date is None


@pytest.mark.parametrize(
    "tags",
    [
        {Base.DateTimeOriginal: "0001:01:01 00:00:00", Base.OffsetTimeOriginal: "+14:00"},
        {Base.DateTimeOriginal: "9999:12:31 23:59:59", Base.OffsetTimeOriginal: "-14:00"},
        {Base.DateTimeOriginal: "2019:01:01 00:00:00", Base.OffsetTimeOriginal: "+99:99"},
    ],
)
def test_a_date_outside_of_the_calendar(described: Describe, tags: dict[int, str]) -> None:
    assert described(encoded(photo(), "JPEG", exif=exif(tags=tags))).create_date is None


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_the_capture_date_is_found_in_any_format(described: Describe, format: str) -> None:
    tags: dict[int, str] = {Base.DateTimeOriginal: "2019:08:07 06:05:04"}

    found = described(encoded(photo(), format, exif=exif(tags=tags)))

    assert found.create_date == datetime(2019, 8, 7, 6, 5, 4, tzinfo=UTC)


def test_broken_exif_leaves_the_picture_as_it_is(described: Describe) -> None:
    whole = exif(orientation=6, tags={Base.DateTimeOriginal: "2019:08:07 06:05:04"})
    for at in range(6, len(whole)):
        broken = whole[:at] + b"\xff" + whole[at + 1 :]
        assert described(encoded(photo(), "JPEG", exif=broken)).mime_type == "image/jpeg"


def test_exif_that_is_not_even_hexadecimal(described: Describe) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Raw profile type exif", "\nexif\n   4\nthis is not hexadecimal")

    assert described(encoded(photo(), "PNG", pnginfo=texts)).mime_type == "image/png"


def test_an_orientation_survives_a_broken_date(described: Describe) -> None:
    content = encoded(photo(64, 48), "JPEG", exif=exif(orientation=6, tags={Base.DateTimeOriginal: "x" * 20}))
    date_entry = content.index(struct.pack(">HH", Base.DateTimeOriginal, 2))
    pointer = slice(date_entry + 8, date_entry + 12)

    found = described(content[: pointer.start] + b"\xff" * 4 + content[pointer.stop :])

    assert (found.width, found.height, found.create_date) == (48, 64, None)


def test_the_file_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    content = encoded(photo(), "TIFF", exif=exif(orientation=6))
    path.write_bytes(content)

    describe(path, max_pixels=1_000_000)

    assert path.read_bytes() == content
    assert Image.open(BytesIO(content)).size == (48, 64)
