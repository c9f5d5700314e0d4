from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from entities.models import Entity
from tests.entities.api.client import ENTITY_KEYS, Api, faulty_fields, media_files, trash, upload
from tests.factories import jpeg, make_collection, make_photo

pytestmark = pytest.mark.django_db


def test_it_works(api: Api) -> None:
    album = make_collection("album")

    answer = api.send(
        "post",
        "/entities",
        is_collection="false",
        label="beach",
        description="sand",
        parent_id=album.pk,
        media_file=upload(jpeg(1)),
    )

    assert answer.status_code == 201
    shown = answer.json()
    assert shown.keys() >= ENTITY_KEYS
    assert (shown["label"], shown["description"], shown["parent_id"]) == ("beach", "sand", album.pk)
    assert (shown["added_by"], shown["updated_by"]) == ("writer-1", "writer-1")
    assert (shown["type"], shown["width"], shown["height"]) == ("image", 64, 48)
    assert media_files() == [shown["file_path"]]
    assert shown["file_path"] == f"store/{timezone.now():%Y/%m/%d}/{shown['md5']}.jpg"
    assert Entity.objects.get(pk=shown["id"]).history.count() == 1


@pytest.mark.parametrize("send", ["send", "send_urlencoded"])
def test_a_collection(api: Api, send: str) -> None:
    answer = getattr(api, send)("post", "/entities", is_collection="TRUE", label="album")
    assert answer.status_code == 201
    assert (answer.json()["is_collection"], answer.json()["label"]) == (True, "album")


def test_empty_texts_are_none(api: Api) -> None:
    answer = api.send("post", "/entities", is_collection="1", label="", description="", parent_id="")
    assert [answer.json()[key] for key in ("label", "description", "parent_id")] == [None, None, None]


def test_texts_are_kept_as_they_are(api: Api) -> None:
    answer = api.send("post", "/entities", is_collection="y", label="  two\n lines ", description=" ünï😀 ")
    assert (answer.json()["label"], answer.json()["description"]) == ("  two\n lines ", " ünï😀 ")


def test_labels_of_full_length(api: Api) -> None:
    assert api.send("post", "/entities", is_collection="on", label="😀" * 1024).status_code == 201
    assert faulty_fields(api.send("post", "/entities", is_collection="on", label="x" * 1025)) == {
        "body.label"
    }


# --- The same content -------------------------------------------------------------------------------------


def test_content_that_is_there_answers_its_entity_unchanged(api: Api) -> None:
    photo = make_photo(1, label="first", by="7")
    before = api.get(f"/entities/{photo.pk}").json()

    answer = api.send(
        "post",
        "/entities",
        is_collection="false",
        label="second",
        parent_id=make_collection().pk,
        media_file=upload(jpeg(1), "other.png"),
    )

    assert answer.status_code == 200
    assert answer.json() == before
    assert photo.history.count() == 1


def test_content_in_the_trash_comes_back(api: Api) -> None:
    photo = make_photo(1, label="first")
    trash(photo)

    answer = api.send("post", "/entities", is_collection="false", label="second", media_file=upload(jpeg(1)))

    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["label"]) == (photo.pk, "first")
    assert (answer.json()["is_deleted"], answer.json()["updated_by"]) == (False, "writer-1")
    assert media_files() == [photo.file_path]
    assert api.get(f"/entities/{photo.pk}/versions").json()[-1]["reason"] == "The same content came again."


def test_a_file_that_was_lost_is_put_back(api: Api, media_root: Path) -> None:
    photo = make_photo(1)
    (media_root / str(photo.file_path)).unlink()

    answer = api.send("post", "/entities", is_collection="false", media_file=upload(jpeg(1)))

    assert (answer.status_code, answer.json()["id"]) == (200, photo.pk)
    assert (media_root / str(photo.file_path)).read_bytes() == jpeg(1)
    assert photo.history.count() == 1


# --- The file ---------------------------------------------------------------------------------------------


def test_the_other_name_of_the_file(api: Api) -> None:
    assert api.send("post", "/entities", is_collection="false", image=upload(jpeg(1))).status_code == 201


def test_media_file_wins(api: Api) -> None:
    answer = api.send(
        "post", "/entities", is_collection="false", image=upload(jpeg(1)), media_file=upload(jpeg(2))
    )
    assert answer.json()["md5"] == make_photo(2).md5
    assert len(media_files()) == 1


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\\b\\c.jpg", "\x07.svg", "x" * 200 + ".exe", "ä😀.png"]
)
def test_the_file_name_and_the_content_type_mean_nothing(api: Api, name: str) -> None:
    answer = api.send("post", "/entities", is_collection="false", media_file=upload(jpeg(1), name))
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["label"], shown["mime_type"], shown["extension"]) == (None, "image/jpeg", "jpg")
    assert media_files() == [shown["file_path"]]


def test_unknown_bytes_are_a_file(api: Api) -> None:
    answer = api.send(
        "post", "/entities", is_collection="false", media_file=upload(b"\x00\x01\x02 nobody knows")
    )
    shown = answer.json()
    assert answer.status_code == 201
    assert (shown["mime_type"], shown["type"]) == ("application/octet-stream", "file")
    assert (shown["width"], shown["height"], shown["duration"], shown["preview_url"]) == (None,) * 4
    downloaded = b"".join(api.get(f"/entities/{shown['id']}/media").streaming_content)
    assert downloaded == b"\x00\x01\x02 nobody knows"


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"is_collection": "false"}, "file is required"),
        ({"is_collection": "false", "media_file": b""}, "file is empty"),
        ({"is_collection": "false", "image": b""}, "file is empty"),
        ({"is_collection": "true", "media_file": jpeg(1)}, "collection has no file"),
        ({"is_collection": "true", "image": b"x"}, "collection has no file"),
        ({"is_collection": "false", "media_file": jpeg(1)[:300]}, "cannot be decoded"),
        ({"is_collection": "false", "media_file": jpeg(1), "parent_id": "4711"}, "does not exist"),
        ({"is_collection": "false", "media_file": jpeg(1), "parent_id": "0"}, "does not exist"),
        ({"is_collection": "false", "media_file": jpeg(1), "parent_id": "-1"}, "does not exist"),
        ({"is_collection": "false", "media_file": jpeg(1), "parent_id": str(2**70)}, "does not exist"),
        ({"is_collection": "true", "parent_id": str(2**63)}, "does not exist"),
    ],
)
def test_what_cannot_be_leaves_nothing(api: Api, form: dict[str, Any], reason: str) -> None:
    form = {name: upload(value) if isinstance(value, bytes) else value for name, value in form.items()}
    answer = api.send("post", "/entities", **form)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert not Entity.objects.exists()
    assert media_files() == []


@pytest.mark.parametrize("kind", ["photo", "deleted", "deep"])
def test_a_parent_that_cannot_be(api: Api, kind: str) -> None:
    parent = make_photo(9) if kind == "photo" else make_collection()
    if kind == "deleted":
        trash(parent)
    while kind == "deep" and len(Entity.objects.all()) < 10:
        parent = make_collection(parent_id=parent.pk)
    answer = api.send(
        "post", "/entities", is_collection="false", parent_id=parent.pk, media_file=upload(jpeg(1))
    )
    assert answer.status_code == 422
    reasons = {"photo": "not a collection", "deleted": "deleted", "deep": "Maximum hierarchy depth exceeded"}
    assert reasons[kind] in answer.json()["detail"]


# --- The form ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [{}, {"is_collection": ""}, {"is_collection": "maybe"}])
@pytest.mark.parametrize("send", ["send", "send_urlencoded"])
def test_is_collection_must_be_said(api: Api, send: str, form: dict[str, str]) -> None:
    """In a form without it, a check box would mean no."""
    assert faulty_fields(getattr(api, send)("post", "/entities", label="x", **form)) == {"body.is_collection"}


@pytest.mark.parametrize("body", ['{"is_collection": true, "label": "x"}', "{broken", "[]"])
def test_json_has_no_fields(api: Api, body: str) -> None:
    answer = api.client.post("/entities", body, content_type="application/json")
    assert faulty_fields(answer) == {"body.is_collection"}


def test_no_body_has_no_fields(api: Api) -> None:
    assert faulty_fields(api.client.post("/entities")) == {"body.is_collection"}


@pytest.mark.parametrize("field", ["label", "description"])
def test_text_that_databases_cannot_hold(api: Api, field: str) -> None:
    assert faulty_fields(api.send("post", "/entities", is_collection="true", **{field: "a\x00b"})) == {
        f"body.{field}"
    }


def test_a_parent_that_is_no_number(api: Api) -> None:
    answer = api.send("post", "/entities", is_collection="true", parent_id="abc")
    assert faulty_fields(answer) == {"body.parent_id"}
    assert answer.json()["detail"][0]["input"] == "abc"


def test_a_file_that_is_text(api: Api) -> None:
    answer = api.send("post", "/entities", is_collection="false", media_file="not a file")
    assert faulty_fields(answer) == {"body.media_file"}
