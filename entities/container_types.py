"""What the first bytes of a file claim it to be, of all that holds video or audio."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ContainerClaim:
    mime_type: str
    demuxer: str
    """FFmpeg's name. No other is let at the file: FFmpeg would find some reading for almost any bytes."""
    with_video: str | None = None
    """The MIME type instead, if video is found in it."""
    without_video: str | None = None
    """The MIME type instead, if only audio is found in it."""
    certain: bool = True
    """False where so few bytes could be something else: then it is a container if FFmpeg finds so too."""


_MP4 = ContainerClaim("video/mp4", "mov", without_video="audio/mp4")
_M4A = ContainerClaim("audio/mp4", "mov", with_video="video/mp4")
_QUICKTIME = ContainerClaim("video/quicktime", "mov", without_video="audio/mp4")
_3GPP = ContainerClaim("video/3gpp", "mov", without_video="audio/3gpp")
_WEBM = ContainerClaim("video/webm", "matroska", without_video="audio/webm")
_MATROSKA = ContainerClaim("video/x-matroska", "matroska", without_video="audio/x-matroska")
_AVI = ContainerClaim("video/x-msvideo", "avi")
_WAVE = ContainerClaim("audio/wav", "wav")
_AIFF = ContainerClaim("audio/aiff", "aiff")
_MPEG_AUDIO = ContainerClaim("audio/mpeg", "mp3")
_ADTS = ContainerClaim("audio/aac", "aac", certain=False)
_TRANSPORT_STREAM = ContainerClaim("video/mp2t", "mpegts", certain=False)

_SIGNATURES = (
    (b"ID3", _MPEG_AUDIO),
    (b"fLaC", ContainerClaim("audio/flac", "flac")),
    (b"OggS", ContainerClaim("audio/ogg", "ogg", with_video="video/ogg")),
    (b"#!AMR", ContainerClaim("audio/amr", "amr")),
    (b"FLV\x01", ContainerClaim("video/x-flv", "flv")),
    (b"\x00\x00\x01\xba", ContainerClaim("video/mpeg", "mpeg")),
    (b"\x00\x00\x01\xb3", ContainerClaim("video/mpeg", "mpegvideo")),
    (
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        ContainerClaim("video/x-ms-wmv", "asf", without_video="audio/x-ms-wma"),
    ),
)

_MP4_BRANDS = (b"iso", b"mp4", b"avc1", b"M4V", b"f4v", b"F4V", b"dash", b"MSNV")
_M4A_BRANDS = (b"M4A", b"M4B", b"M4P")
_CANON_RAW_BRAND = b"crx "
"""CR3: a raw photo in a container of the video family."""
_QUICKTIME_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
"""How a film begins that is older than brands."""


def container_claim(head: bytes) -> ContainerClaim | None:
    for signature, claim in _SIGNATURES:
        if head.startswith(signature):
            return claim
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _WEBM if b"\x42\x82\x84webm" in head[:64] else _MATROSKA  # EBML's DocType, of four bytes
    return _iso_media_claim(head) or _chunked_claim(head) or _synchronised_claim(head)


def iso_media_brands(head: bytes) -> list[bytes]:
    """Of an ISO base media file (ISO/IEC 14496-12): the major brand, then the compatible ones."""
    if head[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[8:12], *(head[start : start + 4] for start in range(16, end - 3, 4))]


def _iso_media_claim(head: bytes) -> ContainerClaim | None:
    if head[4:8] in _QUICKTIME_ATOMS:
        return replace(_QUICKTIME, certain=False)
    major = b"".join(iso_media_brands(head)[:1])
    if not major or major == _CANON_RAW_BRAND:
        return None
    if major == b"qt  ":
        return _QUICKTIME
    if major.startswith((b"3gp", b"3g2")):
        return _3GPP
    if major.startswith(_M4A_BRANDS):
        return _M4A
    return replace(_MP4, certain=major.startswith(_MP4_BRANDS))


def _chunked_claim(head: bytes) -> ContainerClaim | None:
    match head[:4], head[8:12]:
        case b"RIFF", b"AVI ":
            return _AVI
        case b"RIFF" | b"RF64", b"WAVE":
            return _WAVE
        case b"FORM", b"AIFF" | b"AIFC":
            return _AIFF
    return None


# --- Streams without a beginning of their own: known by marks that repeat -----------------------------------

_TRANSPORT_LAYOUTS = ((0, 188), (4, 192))
"""Where the first packet is, and how long packets are; the second is a camcorder's, with time stamps."""
_TRANSPORT_MARKS = b"\x47" * 3
_ADTS_MARK = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
"""ISO/IEC 13818-7, 6.2."""
_MPEG_AUDIO_MARK = re.compile(rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd][\x10-\xef]")
"""Layer II or III, and a bit rate that exists (ISO/IEC 11172-3, 2.4.1.3)."""


def _synchronised_claim(head: bytes) -> ContainerClaim | None:
    if any(head[start::length][:3] == _TRANSPORT_MARKS for start, length in _TRANSPORT_LAYOUTS):
        return _TRANSPORT_STREAM
    if _ADTS_MARK.match(head):
        frame_bytes = (int.from_bytes(head[3:6], "big") >> 5) & 0x1FFF
        return _ADTS if frame_bytes and head[frame_bytes:].startswith(head[:2]) else None
    return replace(_MPEG_AUDIO, certain=False) if _MPEG_AUDIO_MARK.match(head) else None
