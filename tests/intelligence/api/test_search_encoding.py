"""Searching by words and by a picture, which a worker has to turn into a vector."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from rest_framework.test import APIClient

from entities.guest_mode import set_guest_mode
from intelligence import capabilities, encoding, hints
from intelligence.api import search_views
from intelligence.capabilities import ModelFacts
from intelligence.compute.base import ComputeSettings
from intelligence.compute.fake import FakeModels
from intelligence.models import SearchEncoding
from tests.factories import jpeg, make_photo
from tests.intelligence.likeness import put
from tests.intelligence.pipeline import Pipeline
from vectors import get_clip_store

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """What workers were asked for; one that answers at once is here."""
    seen: list[Sequence[str]] = []

    def answer(keys: Sequence[str]) -> None:
        seen.append(keys)
        pipeline.processing.encoder.encode(keys)

    monkeypatch.setattr(hints, "encode", answer)
    return seen


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker answers, and nobody waits long."""
    monkeypatch.setattr(encoding, "ANSWER_SECONDS", 0.05)


def by_text(client: APIClient, text: str, **query: Any) -> Any:
    return client.get("/intelligence/search", {"text": text, **query})


def by_picture(client: APIClient, content: bytes, **fields: Any) -> Any:
    picture = SimpleUploadedFile("any.name", content)
    return client.post("/intelligence/search", {"image": picture, **fields}, format="multipart")


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [hit["entity_id"] for hit in answer.json()["results"]]


class TestText:
    def test_best_first(self, guest: APIClient, pipeline: Pipeline, asked: list[Any]) -> None:
        photos = [make_photo(seed) for seed in range(4)]
        pipeline.work()
        wanted = FakeModels(ComputeSettings(Path())).embed_text("a dog on a beach")
        vectors = get_clip_store().fetch(photo.pk for photo in photos)
        order = sorted(vectors, key=lambda pk: -float(vectors[pk] @ wanted))

        answer = by_text(guest, " a dog on a beach ")

        assert ids(answer) == order
        why = answer.json()["results"][0]["why"]
        assert why[0]["model"] == "fake-clip-512"
        assert why[0]["cosine"] == pytest.approx(max(0, float(vectors[order[0]] @ wanted)), abs=1e-5)

    def test_the_next_page_asks_nobody(self, guest: APIClient, pipeline: Pipeline, asked: list[Any]) -> None:
        photos = [make_photo(seed) for seed in range(3)]
        pipeline.work()
        first, second = (
            ids(by_text(guest, "dogs", page_size=2)),
            ids(by_text(guest, "dogs", page=2, page_size=2)),
        )
        assert sorted(first + second) == [photo.pk for photo in photos]
        assert len(asked) == 1

    def test_the_words_are_not_kept(self, guest: APIClient, asked: list[Any]) -> None:
        by_text(guest, "my secrets")
        [row] = SearchEncoding.objects.all()
        assert "secret" not in f"{row.key}{row.text}{row.error}"
        assert np.frombuffer(row.vector or b"", dtype="<f4").shape == (512,)

    def test_in_the_other_space_there_are_no_words(self, guest: APIClient) -> None:
        for space in ("dino", "both"):
            answer = by_text(guest, "dogs", space=space)
            assert answer.status_code == 422
            assert answer.json()["detail"][0]["loc"] == ["query", "space"]

    def test_one_question_at_a_time(self, guest: APIClient) -> None:
        answer = guest.get("/intelligence/search", {"text": "dogs", "entity": "1"})
        assert answer.status_code == 422
        assert "exactly one" in answer.json()["detail"][0]["msg"]

    def test_a_form_may_leave_one_empty(self, guest: APIClient, asked: list[Any]) -> None:
        assert guest.get("/intelligence/search", {"text": "dogs", "entity": ""}).status_code == 200

    def test_a_model_without_words(self, guest: APIClient, asked: list[Any]) -> None:
        """Told by a worker before: nobody is asked, nobody waits."""
        put("clip", {make_photo(1): 0})
        capabilities.tell({"model": ModelFacts(understands_text=False, near_duplicates_from=None)})
        answer = by_text(guest, "dogs")
        assert answer.status_code == 503
        assert "install a CLIP model" in answer.json()["detail"]
        assert not asked

    def test_a_worker_that_cannot_says_so(
        self, guest: APIClient, asked: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And is asked again the next time."""

        def fail(*_: Any) -> None:
            raise ValueError

        with monkeypatch.context() as patched:
            patched.setattr(FakeModels, "embed_text", fail)
            answer = by_text(guest, "dogs")
        assert answer.status_code == 503
        assert "could not cope" in answer.json()["detail"]
        assert by_text(guest, "dogs").status_code == 200

    def test_where_nobody_answers_it_ends_soon(self, guest: APIClient, nobody: None) -> None:
        answer = by_text(guest, "dogs")
        assert answer.status_code == 503
        assert "No worker has answered" in answer.json()["detail"]

    def test_a_late_answer_serves_the_next(self, guest: APIClient, nobody: None, pipeline: Pipeline) -> None:
        by_text(guest, "dogs")
        pipeline.processing.encoder.encode(list(SearchEncoding.objects.values_list("pk", flat=True)))
        assert by_text(guest, "dogs").status_code == 200

    def test_answers_are_forgotten(
        self, guest: APIClient, asked: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for words in ("old", "older", "new", "newer"):
            by_text(guest, words)
        rows = SearchEncoding.objects.order_by("created_at")
        SearchEncoding.objects.filter(pk=rows[0].pk).update(created_at=timezone.now() - timedelta(days=2))
        encoding.forget_old()
        assert SearchEncoding.objects.count() == 3
        monkeypatch.setattr(encoding, "MOST_KEPT", 1)
        encoding.forget_old()
        assert SearchEncoding.objects.count() == 1


class TestPicture:
    def test_it_works(self, guest: APIClient, pipeline: Pipeline, asked: list[Any], media_root: Path) -> None:
        photos = [make_photo(seed) for seed in range(3)]
        pipeline.work()

        for space in ("clip", "dino", "both"):
            answer = by_picture(guest, jpeg(1), space=space, min_score=0.9)
            assert ids(answer) == [photos[1].pk]
            assert answer.json()["results"][0]["score"] == pytest.approx(1, abs=1e-5)

    def test_nothing_of_it_stays(self, guest: APIClient, asked: list[Any], data_dir: Path) -> None:
        assert by_picture(guest, jpeg(1)).status_code == 200
        assert len(asked) == 1
        assert not SearchEncoding.objects.exists()
        assert not [path for path in (data_dir / "media").rglob("*") if path.is_file()]

    def test_a_late_answer_leaves_no_trace(
        self, guest: APIClient, nobody: None, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        monkeypatch.setattr(hints, "encode", asked.extend)
        assert by_picture(guest, jpeg(1)).status_code == 503
        pipeline.processing.encoder.encode(asked)
        assert not SearchEncoding.objects.exists()

    @pytest.mark.parametrize("content", [b"no picture", jpeg(1)[:200]])
    def test_what_is_no_picture(self, guest: APIClient, asked: list[Any], content: bytes) -> None:
        assert by_picture(guest, content).status_code == 422

    def test_a_model_that_workers_have_no_more_is_not_the_pictures_fault(
        self, guest: APIClient, asked: list[Any]
    ) -> None:
        put("clip", {make_photo(1): 0})  # of a model that the fake never had
        answer = by_picture(guest, jpeg(1))
        assert answer.status_code == 503
        assert "do not offer any more" in answer.json()["detail"]

    def test_too_many_pixels(self, guest: APIClient, pipeline: Pipeline, asked: list[Any]) -> None:
        pipeline.client._max_pixels = 100
        answer = by_picture(guest, jpeg(1))
        assert answer.status_code == 422
        assert "pixels" in answer.json()["detail"]

    def test_too_many_bytes(
        self, guest: APIClient, asked: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(search_views, "MAX_PICTURE_BYTES", 100)
        answer = by_picture(guest, jpeg(1))
        assert answer.status_code == 413
        assert "100 bytes" in answer.json()["detail"]
        assert not asked

    def test_without_a_picture(self, guest: APIClient) -> None:
        answer = guest.post("/intelligence/search", {"space": "clip"}, format="multipart")
        assert [fault["loc"] for fault in answer.json()["detail"]] == [["body", "image"]]

    def test_whoever_may_read_may_ask(self, reader: APIClient, guest: APIClient, asked: list[Any]) -> None:
        set_guest_mode(is_on=False, by=None)
        assert by_picture(reader, jpeg(1)).status_code == 200
        assert by_picture(guest, jpeg(1)).status_code == 401


def test_workers_tell_what_their_models_can(pipeline: Pipeline) -> None:
    assert capabilities.read("fake-clip-512") is None
    pipeline.processing.encoder.tell_capabilities()
    clip, dino = capabilities.read("fake-clip-512"), capabilities.read("fake-dino-384")
    assert clip == ModelFacts(understands_text=True, near_duplicates_from=None)
    assert dino == ModelFacts(understands_text=False, near_duplicates_from=0.9)
