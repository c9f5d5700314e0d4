from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.http import FileResponse, HttpResponseBase

from entities.api.files import CHUNK_BYTES, FilePart
from entities.models import Entity
from tests.entities.api.client import Api, faulty_fields, trash
from tests.factories import jpeg, make_collection, make_photo, store

pytestmark = pytest.mark.django_db


@pytest.fixture
def text(media_root: Path) -> Entity:
    return store(b"0123456789").entity


def body(answer: HttpResponseBase) -> bytes:
    assert answer.streaming
    return b"".join(answer)


def media(api: Api, entity: Entity, **headers: str) -> Any:
    return api.client.get(f"/entities/{entity.pk}/media", headers=headers)


def test_it_works(api: Api) -> None:
    photo = make_photo(1)

    answer = media(api, photo)

    assert answer.status_code == 200
    assert body(answer) == jpeg(1)
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["Content-Length"] == str(len(jpeg(1)))
    assert answer["Content-Disposition"] == f'attachment; filename="{photo.md5}.jpg"'
    assert answer["ETag"] == f'"{photo.md5}"'
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Last-Modified"].endswith(" GMT")


def test_a_large_file_comes_in_parts(api: Api) -> None:
    content = bytes(range(256)) * (CHUNK_BYTES // 256 * 2 + 1)
    answer = media(api, store(content).entity)
    parts = list(answer)
    assert b"".join(parts) == content
    assert max(map(len, parts)) == CHUNK_BYTES


def test_nothing_runs_in_a_browser(api: Api) -> None:
    svg = store(b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>').entity
    answer = media(api, svg)
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]


def test_of_the_trash(api: Api, text: Entity) -> None:
    trash(text)
    assert body(media(api, text)) == b"0123456789"


def test_of_a_collection(api: Api) -> None:
    answer = media(api, make_collection())
    assert (answer.status_code, answer.json()) == (400, {"detail": "Entity is a collection"})


def test_of_an_unknown_one(api: Api) -> None:
    assert api.get("/entities/4711/media").json() == {"detail": "Entity not found"}
    assert faulty_fields(api.get("/entities/abc/media")) == {"path.id"}


def test_of_a_lost_file(api: Api, text: Entity, media_root: Path) -> None:
    (media_root / str(text.file_path)).unlink()
    answer = media(api, text)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Media file not found"})


def test_a_path_in_the_row_that_leaves_the_folder(api: Api, text: Entity) -> None:
    Entity.objects.filter(pk=text.pk).update(file_path="../../../etc/passwd")
    with pytest.raises(ValueError, match="leaves the media folder"):
        media(api, text)


# --- Ranges -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "sent", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=9-9", b"9", "bytes 9-9/10"),
        ("bytes=5-999", b"56789", "bytes 5-9/10"),
        ("bytes=-999", b"0123456789", "bytes 0-9/10"),
    ],
)
def test_a_range(api: Api, text: Entity, asked: str, sent: bytes, content_range: str) -> None:
    answer = media(api, text, Range=asked)
    assert answer.status_code == 206
    assert body(answer) == sent
    assert (answer["Content-Range"], answer["Content-Length"]) == (content_range, str(len(sent)))


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=5-3", "bytes=999999-"])
def test_a_range_outside(api: Api, text: Entity, asked: str) -> None:
    answer = media(api, text, Range=asked)
    assert (answer.status_code, answer["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,3-4", "bytes=-", "bytes=a-b", "lines=0-1", "bytes 0-1", "bytes=" + "9" * 5000 + "-", ""],
)
def test_what_is_no_single_range_gets_the_whole(api: Api, text: Entity, asked: str) -> None:
    answer = media(api, text, Range=asked)
    assert (answer.status_code, body(answer)) == (200, b"0123456789")


def test_a_range_of_the_same_content_only(api: Api, text: Entity) -> None:
    same = media(api, text, Range="bytes=0-1", **{"If-Range": f'"{text.md5}"'})
    other = media(api, text, Range="bytes=0-1", **{"If-Range": '"other"'})
    date = media(api, text, Range="bytes=0-1", **{"If-Range": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert [answer.status_code for answer in (same, other, date)] == [206, 200, 200]
    assert [len(body(answer)) for answer in (same, other, date)] == [2, 10, 10]


# --- Conditions -------------------------------------------------------------------------------------------


def test_what_the_caller_has_is_not_sent_again(api: Api, text: Entity) -> None:
    first = media(api, text)
    assert body(first)
    for condition in (
        {"If-None-Match": first["ETag"]},
        {"If-None-Match": f'"x", W/{first["ETag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": first["Last-Modified"]},
        {"If-None-Match": first["ETag"], "Range": "bytes=0-1"},
    ):
        answer = media(api, text, **condition)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer["ETag"] == first["ETag"]
    assert body(media(api, text, **{"If-None-Match": '"other"'}))
    assert media(api, text, **{"If-Match": '"other"'}).status_code == 412


def test_only_the_headers(api: Api, text: Entity) -> None:
    answer = api.client.head(f"/entities/{text.pk}/media")
    assert (answer.status_code, answer.content, answer["Content-Length"]) == (200, b"", "10")
    assert answer["ETag"] == f'"{text.md5}"'
    part = api.client.head(f"/entities/{text.pk}/media", headers={"Range": "bytes=2-3"})
    assert (part.status_code, part["Content-Length"], part["Content-Range"]) == (206, "2", "bytes 2-3/10")


# --- The open file ----------------------------------------------------------------------------------------


def test_it_stays_whole_for_who_reads_it(api: Api, text: Entity, media_root: Path) -> None:
    answer = media(api, text)
    (media_root / str(text.file_path)).unlink()
    assert body(answer) == b"0123456789"


def test_it_is_closed_in_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    part = FilePart(tmp_path / "file")
    response = FileResponse(io.BytesIO())
    response.streaming_content = part
    response.close()
    assert list(part) == []
    part.close()


def test_one_that_gets_shorter_ends_early(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    part = FilePart(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"01")
    assert list(part) == [b"01"]
