"""What the first bytes of a file claim it to be. The claim is settled by the decoder, in metadata.py.

A package for this was tried and not used: it took a HEIC photo for MP4 and a text that begins "BMW" for a
bitmap, and what is here decides which decoder a stranger's bytes are given to.
"""

from __future__ import annotations

import re
import struct
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from entities.container_types import ContainerClaim, container_claim, iso_media_brands

MediaType = Literal["text", "image", "video", "audio", "file"]
ImageFormat = Literal["AVIF", "BMP", "GIF", "HEIF", "JPEG", "PNG", "TIFF", "WEBP"]

HEAD_BYTES = 16 * 1024

UNKNOWN = "application/octet-stream"
PLAIN_TEXT = "text/plain"
SVG = "image/svg+xml"

_EXTENSIONS = {
    "image/jpeg": "jpg",
    SVG: "svg",
    "video/quicktime": "mov",
    "video/x-msvideo": "avi",
    "video/x-matroska": "mkv",
    "video/3gpp": "3gp",
    "audio/mpeg": "mp3",
    PLAIN_TEXT: "txt",
}
"""Where the extension is not the second half of the MIME type."""


def extension_of(mime_type: str) -> str:
    return _EXTENSIONS.get(mime_type, mime_type.partition("/")[2])


def media_type_of(mime_type: str) -> MediaType:
    prefix = mime_type.partition("/")[0]
    for media_type in get_args(MediaType):
        if prefix == media_type:
            return media_type  # type: ignore[no-any-return]  # get_args() answers Any
    return "file"


@dataclass(frozen=True)
class ImageClaim:
    mime_type: str
    format: ImageFormat
    """The one decoder that is let at it."""


@dataclass(frozen=True)
class OtherClaim:
    mime_type: str


Claim = ImageClaim | ContainerClaim | OtherClaim


def read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def claim_of(head: bytes) -> Claim:
    return image_claim(head) or container_claim(head) or other_claim(head)


# --- Images -----------------------------------------------------------------------------------------------

_IMAGES = (
    (b"\xff\xd8\xff", ImageClaim("image/jpeg", "JPEG")),
    (b"\x89PNG\r\n\x1a\n", ImageClaim("image/png", "PNG")),
    (b"GIF87a", ImageClaim("image/gif", "GIF")),
    (b"GIF89a", ImageClaim("image/gif", "GIF")),
    (b"II*\0", ImageClaim("image/tiff", "TIFF")),
    (b"MM\0*", ImageClaim("image/tiff", "TIFF")),
    (b"II+\0", ImageClaim("image/tiff", "TIFF")),  # BigTIFF
    (b"MM\0+", ImageClaim("image/tiff", "TIFF")),
)
"""What else Pillow can decode is kept as a file: rare among photos, and one more parser fed by strangers."""

_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_ANY_CODEC_BRANDS = {b"mif1", b"msf1"}


def image_claim(head: bytes) -> ImageClaim | None:
    for signature, claim in _IMAGES:
        if head.startswith(signature):
            return None if claim.format == "TIFF" and _is_camera_raw(head) else claim
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ImageClaim("image/webp", "WEBP")
    # "BM" alone is how many a text begins.
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return ImageClaim("image/bmp", "BMP")
    return _heif_claim(iso_media_brands(head))


_CR2_MARK = b"CR"
_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_REDUCED = 1


def _is_camera_raw(tiff: bytes) -> bool:
    """Where a TIFF decoder would fail, or take for the photo the thumbnail that stands in its place."""
    tags = _first_tiff_tags(tiff)
    thumbnail_first = tags.get(_NEW_SUBFILE_TYPE) == _REDUCED and _SUB_IFDS in tags
    return tiff[8:10] == _CR2_MARK or _DNG_VERSION in tags or thumbnail_first


def _first_tiff_tags(tiff: bytes) -> dict[int, int]:
    """Those of the first directory, with their values as far as these are single numbers of 32 bits."""
    order = "<" if tiff.startswith(b"II") else ">"
    try:
        (start,) = struct.unpack_from(f"{order}L", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        entries = struct.iter_unpack(f"{order}HHLL", tiff[start + 2 : start + 2 + 12 * count])
        return {tag: value for tag, _type, _number, value in entries}
    except struct.error:  # further into the file than the head
        return {}


def _heif_claim(brands: list[bytes]) -> ImageClaim | None:
    major, found = brands[:1], set(brands)
    if found.isdisjoint(_ANY_CODEC_BRANDS.intersection(major)):
        found = set(major)  # which codec it is, the major brand says; else the compatible ones do
    if found & _AVIF_BRANDS:
        return ImageClaim("image/avif", "AVIF")
    if found & _HEIC_BRANDS:
        return ImageClaim("image/heic", "HEIF")
    return ImageClaim("image/heif", "HEIF") if found & _ANY_CODEC_BRANDS else None


# --- Documents, archives, text ----------------------------------------------------------------------------

_OTHERS = (
    (b"%PDF-", "application/pdf"),
    (b"%!PS", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),  # an empty one
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
)
_TAR_MARK = b"ustar"
_TAR_MARK_AT = 257

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")
_HTML = re.compile(r"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
# Before the root of an XML document. Matched one after the other, never nested: no text makes it slow.
_XML_PROLOG = re.compile(r"\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*+(?:\[[^\]]*+\][^>]*+)?>", re.DOTALL)
_SVG_ROOT = re.compile(r"<(?:[\w.-]+:)?svg[\s/>]")


def other_claim(head: bytes) -> OtherClaim:
    for signature, mime_type in _OTHERS:
        if head.startswith(signature):
            return OtherClaim(mime_type)
    if head[_TAR_MARK_AT:].startswith(_TAR_MARK):
        return OtherClaim("application/x-tar")
    text = _as_text(head)
    return OtherClaim(UNKNOWN if text is None else _text_mime_type(text))


def _as_text(head: bytes) -> str | None:
    """None if it is not text in UTF-8, or in UTF-16 that says so. The last character may be cut in half."""
    if not head:
        return None
    encoding = "utf-16" if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8"
    try:
        text = getincrementaldecoder(encoding)().decode(head.removeprefix(BOM_UTF8))
    except UnicodeDecodeError:
        return None
    return text if text and not _CONTROL_CHARACTERS.search(text) else None


def _text_mime_type(text: str) -> str:
    if _HTML.match(text):
        return "text/html"
    return SVG if _has_svg_root(text) else PLAIN_TEXT


def _has_svg_root(text: str) -> bool:
    """Without an XML parser, which could be made to expand entities."""
    position = 0
    while prolog := _XML_PROLOG.match(text, position):
        position = prolog.end()
    return _SVG_ROOT.match(text, position) is not None
