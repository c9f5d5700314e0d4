from __future__ import annotations

import random
import tarfile
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from entities.media_types import HEAD_BYTES
from entities.metadata import MediaMetadata, describe


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    return tmp_path / "upload.jpg"  # a name that says something else


def described(upload: Path, content: bytes) -> MediaMetadata:
    upload.write_bytes(content)
    return describe(upload, max_pixels=1_000_000)


@pytest.mark.parametrize(
    "content",
    [
        b"a",
        b"BMW is a make of cars.\n",
        b"GIF is a format, RIFF another.\n",
        b"OK, the wide road.\tAnd\r\nso on.\n",
        "Ünïcödé, 漢字, 🙂\n".encode(),
        "with a mark of its encoding\n".encode("utf-8-sig"),
        "in sixteen bits: 漢字 🙂\n".encode("utf-16"),
        b"\xfe\xff" + "the other way round\n".encode("utf-16-be"),
        b'{"json": true}',
        b"<?xml version='1.0'?><feed/>",
        b"P3\n1 1\n255\n1 2 3\n",
        b"\x1b[1mbold on a terminal\x1b[0m\n",
    ],
)
def test_text(upload: Path, content: bytes) -> None:
    found = described(upload, content)

    assert found == MediaMetadata("text/plain")
    assert (found.type, found.extension) == ("text", "txt")


def test_a_text_may_be_cut_in_the_middle_of_a_character(upload: Path) -> None:
    for shift in range(4):
        content = b"x" * shift + "🙂".encode() * HEAD_BYTES

        assert described(upload, content).mime_type == "text/plain"


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><title>x</title>",
        b"\n <!doctype HTML PUBLIC '-//W3C//DTD HTML 4.01//EN'>",
        b"<html><body><svg></svg></body></html>",
        b"<HTML lang=en>",
    ],
)
def test_html_is_text_and_never_an_image(upload: Path, content: bytes) -> None:
    found = described(upload, content)

    assert (found.mime_type, found.type, found.extension) == ("text/html", "text", "html")


@pytest.mark.parametrize(
    "content",
    [
        b"<svg/>",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"></svg>',
        b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg\nxmlns="http://www.w3.org/2000/svg"/>',
        b'\xef\xbb\xbf <svg:svg xmlns:svg="http://www.w3.org/2000/svg"/>',
        b'<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd"><svg >',
        b'<!DOCTYPE svg [<!ENTITY a "<b>"><!ENTITY c "&a;&a;">]><svg>&c;</svg>',
        '<?xml version="1.0" encoding="utf-16"?><svg/>'.encode("utf-16"),
    ],
)
def test_svg(upload: Path, content: bytes) -> None:
    found = described(upload, content)

    assert found == MediaMetadata("image/svg+xml")
    assert (found.type, found.extension) == ("image", "svg")


@pytest.mark.parametrize(
    "content", [b"<svgish/>", b"<!-- <svg/> --><p/>", b"text <svg/>", b"<!-- <svg/>", b"<![CDATA[<svg/>]]>"]
)
def test_what_only_mentions_svg_is_text(upload: Path, content: bytes) -> None:
    assert described(upload, content).mime_type == "text/plain"


@pytest.mark.parametrize(
    "piece", [b"<!---->", b"<??>", b" ", b"<!DOCTYPE a>", b"<!DOCTYPE a [", b"<!--", b"<"]
)
def test_no_text_makes_the_search_for_svg_slow(upload: Path, piece: bytes) -> None:
    start = time.perf_counter()

    described(upload, piece * (2 * HEAD_BYTES // len(piece)))

    assert time.perf_counter() - start < 0.5


def zip_file() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "a")
    return buffer.getvalue()


def tar_file() -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "mime_type", "extension"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf", "pdf"),
        (zip_file(), "application/zip", "zip"),
        (tar_file(), "application/x-tar", "x-tar"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "application/gzip", "gzip"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "application/x-7z-compressed", "x-7z-compressed"),
        (b"Rar!\x1a\x07\1\0", "application/vnd.rar", "vnd.rar"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(%stdin) run\n", "application/postscript", "postscript"),
        (b"{\\rtf1\\ansi}", "application/rtf", "rtf"),
    ],
)
def test_documents_and_archives(upload: Path, content: bytes, mime_type: str, extension: str) -> None:
    found = described(upload, content)

    assert found == MediaMetadata(mime_type)
    assert (found.type, found.extension) == ("file", extension)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        "Gr\xfc\xdfe".encode("latin-1"),  # without a mark, eight bits could be anything
        b"\xff\xfe\x00",
        b"\xff\xfe",
        bytes(100),
        b"text, and then\0not",
        b"8BPS\0\1" + bytes(100),
        b"\0\0\1\0\1\0" + bytes(100),
        b"\0\0\2\0" + bytes(100),
    ],
)
def test_what_is_not_recognised_is_a_file(upload: Path, content: bytes) -> None:
    found = described(upload, content)

    assert found == MediaMetadata("application/octet-stream")
    assert (found.type, found.extension) == ("file", "octet-stream")


def test_random_bytes_are_a_file(upload: Path) -> None:
    noise = random.Random(0)

    for _ in range(500):
        content = noise.randbytes(noise.choice([64, 1000, 20_000]))
        assert described(upload, content).mime_type == "application/octet-stream"
