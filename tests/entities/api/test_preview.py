from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from entities.models import Entity
from entities.previews import PreviewService
from tests.entities.api.client import Api, faulty_fields, media_files, trash
from tests.factories import jpeg, make_collection, make_photo, store

pytestmark = pytest.mark.django_db


@pytest.fixture
def photo(media_root: Path) -> Entity:
    return store(jpeg(1, size=(600, 300))).entity


@pytest.mark.parametrize("query", [{}, {"force": "1"}, {"force": "false"}])
def test_it_works(api: Api, photo: Entity, query: dict[str, str]) -> None:
    """Made when it is first asked for, whether that is forced or not."""
    answer = api.get(f"/entities/{photo.pk}/preview", **query)

    assert answer.status_code == 200
    assert answer["Content-Type"] == "image/png"
    assert answer["Content-Disposition"] == f'attachment; filename="{photo.md5}.tb.png"'
    with Image.open(io.BytesIO(b"".join(answer))) as image:
        assert (image.format, image.size) == ("PNG", (256, 128))


def test_a_small_picture_is_not_enlarged(api: Api, media_root: Path) -> None:
    answer = api.get(f"/entities/{make_photo(1).pk}/preview")
    with Image.open(io.BytesIO(b"".join(answer))) as image:
        assert image.size == (64, 48)


def test_it_is_drawn_once(api: Api, photo: Entity, monkeypatch: pytest.MonkeyPatch) -> None:
    first = b"".join(api.get(f"/entities/{photo.pk}/preview"))

    def draw(*_arguments: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(PreviewService, "_draw", draw)
    assert b"".join(api.get(f"/entities/{photo.pk}/preview")) == first
    assert len(media_files("previews")) == 1


def test_it_is_not_sent_again(api: Api, photo: Entity) -> None:
    first = api.get(f"/entities/{photo.pk}/preview")
    assert b"".join(first)
    again = api.client.get(f"/entities/{photo.pk}/preview", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    part = api.client.get(f"/entities/{photo.pk}/preview", headers={"Range": "bytes=0-7"})
    assert (part.status_code, b"".join(part)) == (206, b"\x89PNG\r\n\x1a\n")
    assert api.client.head(f"/entities/{photo.pk}/preview")["Content-Length"] == first["Content-Length"]


def test_of_the_trash(api: Api, photo: Entity) -> None:
    trash(photo)
    assert b"".join(api.get(f"/entities/{photo.pk}/preview"))


def test_of_a_collection(api: Api) -> None:
    answer = api.get(f"/entities/{make_collection().pk}/preview")
    assert (answer.status_code, answer.json()) == (400, {"detail": "Entity is a collection"})


@pytest.mark.parametrize("force", ["true", "false"])
def test_of_what_cannot_be_shown(api: Api, media_root: Path, force: str) -> None:
    text = store(b"just words\n").entity
    answer = api.get(f"/entities/{text.pk}/preview", force=force)
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith("Preview file not found")


def test_of_a_file_that_was_damaged(api: Api, photo: Entity, media_root: Path) -> None:
    (media_root / str(photo.file_path)).write_bytes(jpeg(1)[:200])
    answer = api.get(f"/entities/{photo.pk}/preview")
    assert answer.status_code == 404
    assert str(media_root) not in answer.json()["detail"]


def test_of_a_lost_file(api: Api, photo: Entity, media_root: Path) -> None:
    (media_root / str(photo.file_path)).unlink()
    answer = api.get(f"/entities/{photo.pk}/preview")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Media file not found"})


def test_of_an_unknown_one(api: Api) -> None:
    assert api.get("/entities/4711/preview").json() == {"detail": "Entity not found"}


def test_force_must_be_a_boolean(api: Api, photo: Entity) -> None:
    assert faulty_fields(api.get(f"/entities/{photo.pk}/preview", force="maybe")) == {"query.force"}
