"""What holds of every route of entities."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.entities.api.client import Api, upload
from tests.factories import jpeg, make_collection, make_photo, store

pytestmark = pytest.mark.django_db


def test_it_works(api: Api) -> None:
    """With and without a slash at the end, and without a redirect."""
    photo = make_photo(1)
    for path in ("", f"/{photo.pk}", f"/{photo.pk}/versions", f"/{photo.pk}/media", f"/{photo.pk}/preview"):
        for slash in ("", "/"):
            assert api.get(f"/entities{path}{slash}").status_code == 200
    assert api.get("/entities/lookup/", md5=photo.md5).status_code == 200
    assert api.get(f"/entities/{photo.pk}/stream/adaptive.m3u8/").json() == {"detail": "hls_failed"}


def test_writes_with_a_slash(api: Api) -> None:
    created = api.send("post", "/entities/", is_collection="true", label="album")
    assert created.status_code == 201
    path = f"/entities/{created.json()['id']}/"
    assert api.send("put", path, is_collection="true", label="b").status_code == 200
    assert api.send("patch", path, is_deleted="true").status_code == 200
    assert api.client.post(f"{path}restore/?version=1").status_code == 200
    assert api.client.delete(f"{path}stream/").status_code == 204
    assert api.client.delete(path).status_code == 204


@pytest.mark.parametrize(
    "path", ["/entities/1/unknown", "/entities/1/media/x", "/entities//", "/entities/1/stream/a/b", "/entity"]
)
def test_an_unknown_path(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("delete", "/entities"),
        ("delete", "/entities/"),
        ("put", "/entities"),
        ("patch", "/entities"),
        ("options", "/entities"),
        ("post", "/entities/1"),
        ("options", "/entities/1"),
        ("post", "/entities/lookup"),
        ("post", "/entities/1/versions"),
        ("get", "/entities/1/restore"),
        ("put", "/entities/1/media"),
        ("delete", "/entities/1/preview"),
        ("get", "/entities/1/stream"),
        ("delete", "/entities/1/stream/adaptive.m3u8"),
    ],
)
@pytest.mark.parametrize("who", ["writer", "nobody"])
def test_a_method_that_is_not_there(api: Api, method: str, path: str, who: str) -> None:
    """The same for everybody: nothing is asked about the caller."""
    client = api.client if who == "writer" else APIClient()
    answer = getattr(client, method)(path)
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


def test_delete_of_all_deletes_nothing(api: Api) -> None:
    photo = make_photo(1)
    api.client.delete("/entities")
    assert api.ids() == [photo.pk]


def test_a_write_without_a_token_comes_to_nothing(api: Api) -> None:
    """Before the body is looked at, and before it is known whether the entity exists."""
    album = make_collection("album")
    nobody = Api(APIClient())
    for entity_id in (album.pk, 4711, "abc"):
        for answer in (
            nobody.send("put", f"/entities/{entity_id}", junk="x"),
            nobody.send("patch", f"/entities/{entity_id}", parent_id="junk"),
            nobody.client.delete(f"/entities/{entity_id}"),
            nobody.client.delete(f"/entities/{entity_id}/stream"),
            nobody.client.post(f"/entities/{entity_id}/restore"),
        ):
            assert (answer.status_code, answer.json()) == (401, {"detail": "Authentication required"})
    assert nobody.send("post", "/entities", media_file=upload(jpeg(1))).status_code == 401
    assert album.history.count() == 1


def test_links_lead_to_the_bytes_without_a_token(api: Api) -> None:
    photo = make_photo(1)
    shown = api.get(f"/entities/{photo.pk}").json()
    nobody = APIClient()
    assert b"".join(nobody.get(shown["media_url"])) == jpeg(1)
    assert b"".join(nobody.get(shown["preview_url"])).startswith(b"\x89PNG")


def test_what_has_no_preview_has_no_link_to_one(api: Api) -> None:
    shown = api.get(f"/entities/{store(b'words').entity.pk}").json()
    assert shown["media_url"]
    assert shown["preview_url"] is None
