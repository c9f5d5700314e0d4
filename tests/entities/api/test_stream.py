from __future__ import annotations

from pathlib import Path

import pytest

from entities.models import Entity
from tests.entities.api.client import Api, faulty_fields
from tests.factories import make_collection, make_photo

pytestmark = pytest.mark.django_db

SEGMENT = "adaptive-720p-1000-001.ts"


@pytest.fixture
def streamed(media_root: Path) -> Entity:
    """With a stream that an older store has left."""
    entity = make_photo(1)
    folder = media_root / "streams" / "image" / "jpeg" / f"media_{entity.pk}"
    folder.mkdir(parents=True)
    (folder / "adaptive.m3u8").write_bytes(b"#EXTM3U")
    (folder / SEGMENT).write_bytes(b"0123456789")
    (folder / "notes.txt").write_bytes(b"not of the stream")
    return entity


def test_it_works(api: Api, streamed: Entity) -> None:
    manifest = api.get(f"/entities/{streamed.pk}/stream/adaptive.m3u8", wait="true")
    segment = api.get(f"/entities/{streamed.pk}/stream/{SEGMENT}")

    assert (manifest.status_code, b"".join(manifest)) == (200, b"#EXTM3U")
    assert manifest["Content-Type"] == "application/vnd.apple.mpegurl"
    assert (segment.status_code, b"".join(segment)) == (200, b"0123456789")
    assert segment["Content-Type"] == "video/mp2t"


@pytest.mark.parametrize("kind", ["no stream", "unknown", "collection"])
def test_a_manifest_that_is_not_there(api: Api, kind: str) -> None:
    entities = {"no stream": lambda: make_photo(2).pk, "collection": lambda: make_collection().pk}
    entity_id = entities.get(kind, lambda: 4711)()
    answer = api.get(f"/entities/{entity_id}/stream/adaptive.m3u8")
    assert (answer.status_code, answer.json()) == (404, {"detail": "hls_failed"})


def test_a_segment_that_is_not_there(api: Api, streamed: Entity) -> None:
    assert api.get(f"/entities/{streamed.pk}/stream/other.ts").status_code == 404
    assert api.get(f"/entities/{make_photo(2).pk}/stream/{SEGMENT}").status_code == 404
    assert api.get("/entities/4711/stream/x.ts").json() == {"detail": "Entity not found"}
    answer = api.get(f"/entities/{make_collection().pk}/stream/x.ts")
    assert (answer.status_code, answer.json()) == (400, {"detail": "Entity is a collection"})


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("notes.txt", 404),
        ("..", 404),
        (".ts", 404),
        ("%2e%2e%2fadaptive.ts", 404),
        ("..%5Cadaptive.ts", 400),
        ("a%5Cb", 400),
        ("a/b.ts", 404),
        ("x.ts%00", 404),
    ],
)
def test_names_stay_in_their_folder(api: Api, streamed: Entity, name: str, status: int) -> None:
    assert api.get(f"/entities/{streamed.pk}/stream/{name}").status_code == status


def test_a_range_of_a_segment(api: Api, streamed: Entity) -> None:
    answer = api.client.get(f"/entities/{streamed.pk}/stream/{SEGMENT}", headers={"Range": "bytes=2-4"})
    assert (answer.status_code, b"".join(answer)) == (206, b"234")


def test_wait_must_be_a_boolean(api: Api, streamed: Entity) -> None:
    answer = api.get(f"/entities/{streamed.pk}/stream/adaptive.m3u8", wait="long")
    assert faulty_fields(answer) == {"query.wait"}


def test_remove(api: Api, streamed: Entity, media_root: Path) -> None:
    for _ in range(2):
        answer = api.client.delete(f"/entities/{streamed.pk}/stream")
        assert (answer.status_code, answer.content) == (204, b"")
    assert not list((media_root / "streams").rglob("media_*"))
    assert (media_root / str(streamed.file_path)).exists()
    assert api.client.delete(f"/entities/{make_collection().pk}/stream").status_code == 204


def test_remove_of_an_unknown_one(api: Api) -> None:
    assert api.client.delete("/entities/4711/stream").json() == {"detail": "Entity not found"}
    assert faulty_fields(api.client.delete("/entities/abc/stream")) == {"path.id"}
