from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import pytest

from entities import video
from entities.container_types import ContainerClaim
from entities.metadata import MediaMetadata, describe
from tests.entities.media import encoded, film, photo, sound, video_frame

MakeFilm = Callable[..., MediaMetadata]


@pytest.fixture
def described_film(tmp_path: Path) -> MakeFilm:
    """Without a suffix that would help: the file goes by another name."""

    def make(suffix: str, **film_options: Any) -> MediaMetadata:
        path = film(tmp_path / f"film.{suffix}", **film_options)
        return describe(path.rename(tmp_path / "upload.txt"), max_pixels=1_000_000)

    return make


@pytest.mark.parametrize(
    ("suffix", "codec", "mime_type", "extension"),
    [
        ("mp4", "libx264", "video/mp4", "mp4"),
        ("mov", "libx264", "video/quicktime", "mov"),
        ("mkv", "libx264", "video/x-matroska", "mkv"),
        ("webm", "libvpx", "video/webm", "webm"),
        ("avi", "mpeg4", "video/x-msvideo", "avi"),
        ("mpg", "mpeg2video", "video/mpeg", "mpeg"),
        ("ts", "libx264", "video/mp2t", "mp2t"),
        ("flv", "libx264", "video/x-flv", "x-flv"),
        ("wmv", "wmv2", "video/x-ms-wmv", "x-ms-wmv"),
    ],
)
def test_it_knows_the_container(
    described_film: MakeFilm, suffix: str, codec: str, mime_type: str, extension: str
) -> None:
    found = described_film(suffix, codec=codec, size=(320, 180))

    assert (found.mime_type, found.type, found.extension) == (mime_type, "video", extension)
    assert (found.width, found.height) == (320, 180)
    assert found.duration == pytest.approx(2.0, abs=0.1)


def test_3gp(described_film: MakeFilm) -> None:
    found = described_film("3gp", codec="mpeg4", size=(176, 144))

    assert (found.mime_type, found.extension) == ("video/3gpp", "3gp")


def test_a_quicktime_film_older_than_brands(tmp_path: Path) -> None:
    content = film(tmp_path / "film.mov").read_bytes()
    brand_bytes = int.from_bytes(content[:4], "big")
    old = tmp_path / "old"
    old.write_bytes(content[brand_bytes:])

    found = describe(old, max_pixels=1_000_000)

    assert (found.mime_type, found.width) == ("video/quicktime", 64)


def test_a_camcorders_transport_stream(described_film: MakeFilm) -> None:
    assert (
        described_film("m2ts", format="mpegts", options={"mpegts_m2ts_mode": "1"}).mime_type == "video/mp2t"
    )


@pytest.mark.parametrize(
    ("rotation", "size"), [(0, (64, 48)), (90, (48, 64)), (-90, (48, 64)), (180, (64, 48))]
)
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_width_and_height_are_of_the_upright_film(
    described_film: MakeFilm, suffix: str, rotation: int, size: tuple[int, int]
) -> None:
    found = described_film(suffix, rotation=rotation)

    assert (found.width, found.height) == size


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_the_capture_date(described_film: MakeFilm, suffix: str) -> None:
    found = described_film(suffix, metadata={"creation_time": "2021-05-06T07:08:09Z"})

    assert found.create_date == datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_apples_date_with_the_offset_of_the_place_goes_first(described_film: MakeFilm) -> None:
    metadata = {
        "creation_time": "2022-02-02T02:02:02Z",
        "com.apple.quicktime.creationdate": "2021-05-06T09:08:09+0200",
    }

    found = described_film("mov", metadata=metadata, options={"movflags": "use_metadata_tags"})

    assert found.create_date == datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "1904-01-01T00:00:00Z", "2021"])
def test_the_date_of_a_clock_that_was_not_set(described_film: MakeFilm, text: str) -> None:
    assert described_film("mkv", metadata={"creation_time": text, "date": text}).create_date is None


# --- Sound ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "format", "mime_type", "extension"),
    [
        ("libmp3lame", "mp3", "audio/mpeg", "mp3"),
        ("mp2", "mp2", "audio/mpeg", "mp3"),  # no header: recognised by its frames
        ("aac", "adts", "audio/aac", "aac"),
        ("aac", "ipod", "audio/mp4", "mp4"),
        ("aac", "mp4", "audio/mp4", "mp4"),
        ("pcm_s16le", "wav", "audio/wav", "wav"),
        ("pcm_s16be", "aiff", "audio/aiff", "aiff"),
        ("flac", "flac", "audio/flac", "flac"),
        ("libopus", "ogg", "audio/ogg", "ogg"),
        ("libopus", "webm", "audio/webm", "webm"),
        ("libopus", "matroska", "audio/x-matroska", "x-matroska"),
    ],
)
def test_it_knows_sound(tmp_path: Path, codec: str, format: str, mime_type: str, extension: str) -> None:
    found = describe(sound(tmp_path / "upload", codec=codec, format=format), max_pixels=1_000_000)

    assert (found.mime_type, found.type, found.extension) == (mime_type, "audio", extension)
    assert (found.width, found.height) == (None, None)
    assert found.duration == pytest.approx(1.0, abs=0.1)


def test_an_mp3_without_its_tag(tmp_path: Path) -> None:
    path = sound(tmp_path / "upload", codec="libmp3lame", format="mp3")
    content = path.read_bytes()
    path.write_bytes(content[content.index(b"\xff\xfb") :])

    assert describe(path, max_pixels=1_000_000).mime_type == "audio/mpeg"


def test_the_picture_on_a_cover_makes_no_film(tmp_path: Path) -> None:
    path, plain = tmp_path / "upload", sound(tmp_path / "plain", codec="libmp3lame", format="mp3")
    with av.open(plain) as source, av.open(path, "w", format="mp3") as container:
        audio = container.add_stream_from_template(source.streams.audio[0])
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                container.mux(packet)
        container.mux(cover.encode(video_frame(photo())))
        container.mux(cover.encode(None))

    with av.open(path) as container:
        assert len(container.streams.video) == 1  # the cover is there
    found = describe(path, max_pixels=1_000_000)
    assert (found.mime_type, found.width) == ("audio/mpeg", None)


# --- What FFmpeg cannot read, or should not -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "mime_type"),
    [
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41", "video/mp4"),
        (b"\0\0\0\x18ftypqt  \0\0\2\0qt  qt  ", "video/quicktime"),
        (b"\0\0\0\x18ftyp3gp5\0\0\2\x003gp5isom", "video/3gpp"),
        (b"\0\0\0\x18ftypM4A \0\0\2\0M4A isom", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\1", "video/x-matroska"),
        (b"RIFF\0\0\1\0AVI LIST", "video/x-msvideo"),
        (b"RIFF\0\0\1\0WAVEfmt ", "audio/wav"),
        (b"OggS\0\2", "audio/ogg"),
        (b"fLaC\0\0\0\x22", "audio/flac"),
        (b"ID3\4\0\0\0\0\0\x23", "audio/mpeg"),
    ],
)
def test_a_film_that_cannot_be_read_is_taken_as_what_it_claims(
    tmp_path: Path, start: bytes, mime_type: str
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(start + bytes(range(256)) * 4)

    assert describe(path, max_pixels=1_000_000) == MediaMetadata(mime_type)


@pytest.mark.parametrize(
    ("content", "mime_type"),
    [
        (b"The wide road lies open before us.\n", "text/plain"),
        (b"GGG" + b"G" * 600, "text/plain"),
        (b"\xff\xfb\x90\x64" + bytes(range(256)) * 20, "application/octet-stream"),
        (b"\xff\xf1\x50\x80\x1d\x1f\xfc" + bytes(range(256)) * 20, "application/octet-stream"),
        (b"\0\0\0\x18ftypnew \0\0\0\1new isom" + bytes(500), "application/octet-stream"),
    ],
)
def test_a_weak_likeness_to_a_film_is_no_film(tmp_path: Path, content: bytes, mime_type: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)

    assert describe(path, max_pixels=1_000_000) == MediaMetadata(mime_type)


def test_a_film_of_an_unknown_codec(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))

    found = describe(path, max_pixels=1_000_000)

    assert (found.mime_type, found.width) == ("video/mp4", None)
    assert found.duration == pytest.approx(2.0, abs=0.1)


VP8_START_OF_PICTURE = b"\x9d\x01\x2a"


def test_a_film_whose_pictures_are_all_damaged(tmp_path: Path) -> None:
    path = film(tmp_path / "film.webm", codec="libvpx")
    path.write_bytes(path.read_bytes().replace(VP8_START_OF_PICTURE, bytes(3)))

    assert describe(path, max_pixels=1_000_000) == MediaMetadata("video/webm", 64, 48, duration=2.0)


def test_a_camera_raw_file_in_a_films_container(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    path.write_bytes(path.read_bytes().replace(b"ftypisom", b"ftypcrx ", 1))

    assert describe(path, max_pixels=1_000_000) == MediaMetadata("application/octet-stream")


def test_a_brand_nobody_has_heard_of(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    path.write_bytes(path.read_bytes().replace(b"ftypisom", b"ftypnew ", 1))

    assert describe(path, max_pixels=1_000_000).mime_type == "video/mp4"


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{film}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{film}'\n",
        "<?xml version='1.0'?><MPD><Period><BaseURL>{film}</BaseURL></Period></MPD>",
        "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
)
def test_a_list_of_films_is_text(tmp_path: Path, playlist: str) -> None:
    path = tmp_path / "upload"
    path.write_text(playlist.format(film=film(tmp_path / "film.mp4")))

    assert describe(path, max_pixels=1_000_000) == MediaMetadata("text/plain")


def test_ffmpeg_opens_no_other_file(tmp_path: Path) -> None:
    """Asked in the way of a demuxer that would: no file is ever given to this one."""
    playlist = tmp_path / "playlist"
    part = film(tmp_path / "part.ts")
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{part}\n#EXT-X-ENDLIST\n")

    with pytest.raises(video.UnreadableContainerError):
        video.read_container(playlist, ContainerClaim("video/mp2t", "hls"))


def test_what_ffmpeg_does_not_finish_is_taken_without_its_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "MAX_SECONDS", 0.001)

    assert describe(film(tmp_path / "film.mp4"), max_pixels=1_000_000) == MediaMetadata("video/mp4")


def test_a_crash_of_ffmpeg_takes_nothing_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(crash))

    assert describe(film(tmp_path / "film.mp4"), max_pixels=1_000_000) == MediaMetadata("video/mp4")
    assert "ended with -11" in caplog.text


def test_images_are_not_shown_to_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")
    path = tmp_path / "upload"
    path.write_bytes(encoded(photo(), "AVIF"))

    assert describe(path, max_pixels=1_000_000).mime_type == "image/avif"
