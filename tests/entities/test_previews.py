from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, ImageCms, ImageStat

from entities.errors import StorageFullError
from entities.previews import PreviewService, PreviewUnavailableError
from tests.entities.media import CORNERS, corners, encoded, exif, film, photo, sound

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def service(tmp_path: Path) -> PreviewService:
    return PreviewService(tmp_path / "media", max_pixels=4_000_000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def preview_of(service: PreviewService, source: Path, content: bytes) -> Image.Image:
    source.write_bytes(content)
    return opened(service.ensure(source, MD5, "image"))


def test_it_works(service: PreviewService, source: Path, tmp_path: Path) -> None:
    preview = preview_of(service, source, encoded(photo(1600, 1200), "JPEG"))

    assert service.preview_path(MD5) == tmp_path / "media" / "previews" / "01" / "23" / f"{MD5}.png"
    assert (preview.format, preview.mode, preview.size) == ("PNG", "RGB", (256, 192))
    assert corners(preview) == CORNERS


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "HEIF", "AVIF"])
def test_any_image(service: PreviewService, source: Path, format: str) -> None:
    preview = preview_of(service, source, encoded(photo(640, 480), format))

    assert preview.size == (256, 192)
    assert corners(preview) == CORNERS


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 256), (256, 256)),
        ((40, 30), (40, 30)),  # never enlarged
        ((600, 600), (256, 256)),
        ((2000, 2), (256, 1)),
        ((100, 4000), (26, 1024)),  # a long strip is kept small too
        ((1000, 1001), (256, 256)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_the_size(
    service: PreviewService, source: Path, format: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert preview_of(service, source, encoded(photo(*size), format)).size == expected


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "HEIF", "AVIF", "WEBP"])
def test_it_stands_upright(service: PreviewService, source: Path, format: str, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = photo(640, 480)
    if orientation in undo:
        stored = stored.transpose(undo[orientation])

    preview = preview_of(service, source, encoded(stored, format, exif=exif(orientation=orientation)))

    assert preview.size == (256, 192)
    assert corners(preview) == CORNERS


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", "L"), ("L", "L"), ("LA", "RGBA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA")],
)
def test_modes(service: PreviewService, source: Path, mode: str, expected: str) -> None:
    assert preview_of(service, source, encoded(photo(400, 300).convert(mode), "PNG")).mode == expected


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr"])
def test_modes_that_a_png_has_not(service: PreviewService, source: Path, mode: str) -> None:
    image = photo(400, 300)
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
        assert converted is not None
    else:
        converted = image.convert(mode)

    assert preview_of(service, source, encoded(converted, "TIFF")).mode == "RGB"


@pytest.mark.parametrize(
    ("mode", "value", "grey"),
    [
        ("I;16", 32_768, 127),
        ("I;16", 65_535, 255),
        ("I", 200, 200),
        ("I", 65_535, 255),
        ("F", 0.5, 127),
        ("F", 100.0, 100),
    ],
)
def test_grey_of_many_bits(service: PreviewService, source: Path, mode: str, value: float, grey: int) -> None:
    image = Image.new(mode, (64, 48), value)

    assert preview_of(service, source, encoded(image, "TIFF")).getpixel((5, 5)) == grey


def test_what_is_transparent_stays_so(service: PreviewService, source: Path) -> None:
    image = photo(400, 300).quantize(4)

    preview = preview_of(service, source, encoded(image, "PNG", transparency=image.getpixel((0, 0))))

    assert preview.mode == "RGBA"
    opacity = preview.getchannel("A")
    assert [opacity.getpixel((x, 5)) for x in (5, 250)] == [0, 255]


def test_nothing_of_the_photo_is_passed_on_but_its_colours(service: PreviewService, source: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(
        photo(400, 300), "JPEG", icc_profile=profile, exif=exif(orientation=1), comment=b"our garden"
    )

    preview = preview_of(service, source, content)

    assert set(preview.info) == {"icc_profile"}
    assert preview.info["icc_profile"] == profile


def test_the_colours_of_a_printer_are_not_those_of_the_preview(service: PreviewService, source: Path) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"CMYK"

    preview = preview_of(
        service, source, encoded(photo(400, 300).convert("CMYK"), "JPEG", icc_profile=bytes(profile))
    )

    assert preview.info == {}


# --- Films ------------------------------------------------------------------------------------------------


def tiles(sheet: Image.Image) -> list[Image.Image]:
    width, height = sheet.width // 4, sheet.height // 4
    return [
        sheet.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
        for row in range(4)
        for column in range(4)
    ]


def brightness(tile: Image.Image) -> float:
    return ImageStat.Stat(tile.convert("L")).mean[0]


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4"), ("ts", "libx264")]
)
def test_a_film_is_sixteen_moments(service: PreviewService, tmp_path: Path, suffix: str, codec: str) -> None:
    path = film(tmp_path / f"film.{suffix}", codec=codec, size=(320, 240), frames=160, frames_per_key_frame=5)

    sheet = opened(service.ensure(path, MD5, "video"))

    assert (sheet.mode, sheet.size) == ("RGB", (256, 192))
    shown = [brightness(tile) for tile in tiles(sheet)]
    assert shown == sorted(shown, reverse=True)  # the film grows dark
    assert len(set(shown)) >= 14
    assert shown[-1] < 0.6 * shown[0]  # at the end it is half as bright
    assert all(corners(tile) == CORNERS for tile in tiles(sheet)[:4])


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_a_film_stands_upright(service: PreviewService, tmp_path: Path, rotation: int) -> None:
    path = film(tmp_path / "film.mp4", size=(320, 240), rotation=rotation)

    sheet = opened(service.ensure(path, MD5, "video"))

    assert sheet.size == ((256, 192) if rotation in {0, 180} else (256, 340))
    assert corners(tiles(sheet)[0]) == corners(photo(320, 240).rotate(rotation, expand=True))


def test_a_film_of_unknown_duration_shows_how_it_begins(service: PreviewService, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv", options={"live": "1"}, frames=160)

    sheet = opened(service.ensure(path, MD5, "video"))

    assert len({tile.tobytes() for tile in tiles(sheet)}) == 16
    assert brightness(tiles(sheet)[15]) > 0.7 * brightness(tiles(sheet)[0])


def test_a_film_of_one_key_frame_shows_it_again(service: PreviewService, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", frames=20, frames_per_key_frame=100)

    sheet = opened(service.ensure(path, MD5, "video"))

    assert len({tile.tobytes() for tile in tiles(sheet)}) == 1
    assert corners(tiles(sheet)[15]) == CORNERS


def test_a_small_film_is_not_enlarged(service: PreviewService, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", size=(32, 24))

    assert opened(service.ensure(path, MD5, "video")).size == (128, 96)


def test_a_film_damaged_at_its_start_shows_the_rest(service: PreviewService, tmp_path: Path) -> None:
    path = film(tmp_path / "film.webm", codec="libvpx")
    path.write_bytes(path.read_bytes().replace(b"\x9d\x01\x2a", bytes(3), 3))  # pictures no longer begin

    sheet = opened(service.ensure(path, MD5, "video"))

    assert all(corners(tile) == CORNERS for tile in tiles(sheet)[:4])


def test_a_film_cut_short_shows_what_is_left(service: PreviewService, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mkv", size=(320, 240), frames=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert opened(service.ensure(path, MD5, "video")).size == (256, 192)


# --- What has no preview ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "type"),
    [
        (b"<svg/>", "image"),
        (b"%PDF-1.7", "file"),
        (b"some text", "text"),
        (encoded(photo(), "JPEG"), "file"),
        (encoded(photo(), "JPEG"), "video"),
        (b"", "file"),
    ],
)
def test_other_types_have_none(service: PreviewService, source: Path, content: bytes, type: str) -> None:
    source.write_bytes(content)

    with pytest.raises(PreviewUnavailableError, match="Only images and videos"):
        service.ensure(source, MD5, type)
    assert not service.preview_path(MD5).exists()


def test_sound_has_none(service: PreviewService, tmp_path: Path) -> None:
    path = sound(tmp_path / "sound", codec="pcm_s16le", format="wav")

    for word in ("audio", "video"):
        with pytest.raises(PreviewUnavailableError):
            service.ensure(path, MD5, word)


@pytest.mark.parametrize(
    ("content", "type"),
    [
        (encoded(photo(), "JPEG")[:-100], "image"),
        (encoded(photo(2001, 2000), "PNG"), "image"),  # more pixels than the limit
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(100), "video"),
    ],
)
def test_what_cannot_be_decoded_has_none(
    service: PreviewService, source: Path, content: bytes, type: str
) -> None:
    source.write_bytes(content)

    with pytest.raises(PreviewUnavailableError, match="cannot be decoded: "):
        service.ensure(source, MD5, type)


def test_a_source_that_is_gone_is_not_taken_for_a_broken_one(service: PreviewService, source: Path) -> None:
    with pytest.raises(FileNotFoundError):
        service.ensure(source, MD5, "image")


# --- Files ------------------------------------------------------------------------------------------------


def test_it_is_made_once(service: PreviewService, source: Path) -> None:
    source.write_bytes(encoded(photo(), "PNG"))
    path = service.ensure(source, MD5, "image")
    source.unlink()

    assert service.ensure(source, MD5, "image") == path


@pytest.mark.parametrize(
    "md5", ["", "../../../etc/passwd", MD5.upper(), MD5 + "\n", MD5[:-1], f"{MD5[:-3]}/.."]
)
def test_what_is_not_an_md5_names_no_file(service: PreviewService, source: Path, md5: str) -> None:
    source.write_bytes(encoded(photo(), "PNG"))

    for attempt in (
        lambda: service.preview_path(md5),
        lambda: service.ensure(source, md5, "image"),
        lambda: service.remove(md5),
    ):
        with pytest.raises(ValueError, match="is not the MD5 of a file"):
            attempt()


def test_removing(service: PreviewService, source: Path) -> None:
    source.write_bytes(encoded(photo(), "PNG"))
    path = service.ensure(source, MD5, "image")

    service.remove(MD5)
    service.remove(MD5)

    assert not path.exists()


def test_many_at_once_leave_one_whole_file(service: PreviewService, source: Path) -> None:
    source.write_bytes(encoded(photo(800, 600), "JPEG"))

    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: service.ensure(source, MD5, "image"), range(24)))

    (path,) = paths
    assert opened(path).size == (256, 192)
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_to_write_leaves_nothing(
    service: PreviewService, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.write_bytes(encoded(photo(800, 600), "JPEG"))

    def disk_full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)

    with pytest.raises(StorageFullError, match="free some space"):
        service.ensure(source, MD5, "image")
    assert list(service.preview_path(MD5).parent.iterdir()) == []
