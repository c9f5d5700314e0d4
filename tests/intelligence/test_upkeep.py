"""What searches filter on, kept true beside the vectors whatever happens to the images."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from entities import services
from entities.models import Entity
from intelligence import faces, marks, upkeep
from intelligence.models import EntitySyncState, Face, UpkeepMark
from intelligence.upkeep import Upkeep
from tests.factories import make_collection, make_person, make_photo
from tests.intelligence.pipeline import Pipeline
from vectors import QdrantVectorStore, VectorPoint, get_clip_store, get_dino_store, get_face_store

pytestmark = pytest.mark.django_db


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was written to payloads."""
    seen: list[Any] = []
    write = QdrantVectorStore.set_payloads

    def noted(store: QdrantVectorStore, changes: Any) -> None:
        kept = list(changes)
        seen.extend(payload for _, payload in kept)
        write(store, kept)

    monkeypatch.setattr(QdrantVectorStore, "set_payloads", noted)
    return seen


def payload(photo: Entity, *names: str) -> list[Any]:
    """The same in both spaces."""
    of_clip, of_dino = (
        store.fetch_points([photo.pk])[photo.pk].payload for store in (get_clip_store(), get_dino_store())
    )
    assert of_clip == of_dino
    return [of_clip[name] for name in names]


def hidden_faces(photo: Entity) -> set[int]:
    points = get_face_store().fetch_points(Face.objects.filter(entity=photo).values_list("pk", flat=True))
    return {point.payload["hidden"] for point in points.values()}


def settle(pipeline: Pipeline) -> None:
    pipeline.work()
    while pipeline.processing.upkeep.follow_marks():
        pass
    assert not UpkeepMark.objects.exists()


def test_a_new_vector_comes_with_all_of_it(pipeline: Pipeline) -> None:
    outer = make_collection("outer")
    inner = make_collection("inner", parent_id=outer.pk)
    photo = make_photo(1, parent_id=inner.pk)
    taken = datetime(2020, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    Entity.objects.filter(pk=photo.pk).update(create_date=taken)

    pipeline.work()

    names = ("entity_id", "md5", "hidden", "ancestor_ids", "known_person_ids", "mime_type", "create_date")
    expected = [photo.pk, photo.md5, 0, [outer.pk, inner.pk], [], "image/jpeg", taken.isoformat()]
    assert payload(photo, *names) == expected
    assert hidden_faces(photo) == {0}


def test_what_moves_takes_all_below_along(pipeline: Pipeline) -> None:
    old, new, moved = (make_collection(label) for label in ("old", "new", "moved"))
    services.patch_entity(moved.pk, {"parent_id": old.pk})
    deep = make_photo(1, parent_id=make_collection("deep", parent_id=moved.pk).pk)
    direct, elsewhere = make_photo(2, parent_id=moved.pk), make_photo(3, parent_id=old.pk)
    settle(pipeline)

    services.patch_entity(moved.pk, {"parent_id": new.pk})
    services.patch_entity(elsewhere.pk, {"parent_id": None})
    settle(pipeline)

    assert payload(deep, "ancestor_ids") == [[new.pk, moved.pk, deep.parent_id]]
    assert payload(direct, "ancestor_ids") == [[new.pk, moved.pk]]
    assert payload(elsewhere, "ancestor_ids") == [[]]


@pytest.mark.parametrize("directly", [True, False])
def test_the_trash_is_hidden_and_what_comes_out_of_it_is_not(pipeline: Pipeline, *, directly: bool) -> None:
    outer = make_collection("outer")
    photo = make_photo(1, parent_id=make_collection("inner", parent_id=outer.pk).pk)
    settle(pipeline)
    thrown = photo.pk if directly else outer.pk

    services.patch_entity(thrown, {"is_deleted": True})
    settle(pipeline)
    assert payload(photo, "hidden") == [1]
    assert hidden_faces(photo) == {1}

    services.patch_entity(thrown, {"is_deleted": False})
    settle(pipeline)
    assert payload(photo, "hidden") == [0]
    assert hidden_faces(photo) == {0}


def test_the_people_on_it(pipeline: Pipeline, media_root: Any) -> None:
    photo, ada = make_photo(1), make_person("Ada")
    settle(pipeline)
    face = Face.objects.filter(entity=photo).first()
    assert face is not None
    Face.objects.filter(pk=face.pk).update(known_person=ada, assigned_by="user")
    marks.note([photo.pk])
    settle(pipeline)
    assert payload(photo, "known_person_ids") == [[ada.pk]]

    storage = pipeline.processing.jobs.storage
    faces.remove(face_id=face.pk, storage=storage, store=get_face_store(), by=None)
    settle(pipeline)
    assert payload(photo, "known_person_ids") == [[]]


def test_a_new_label_of_a_collection_concerns_nobody(pipeline: Pipeline) -> None:
    folder = make_collection("old")
    make_photo(1, parent_id=folder.pk)
    settle(pipeline)

    services.patch_entity(folder.pk, {"label": "new"})
    pipeline.reconcile()

    assert not UpkeepMark.objects.filter(entity_id=folder.pk).exists()


def test_moved_and_renamed_in_one_go_still_counts(pipeline: Pipeline) -> None:
    """Of each entity only the last change makes work; a move may lie before it."""
    folder, new = make_collection("folder"), make_collection("new")
    photo = make_photo(1, parent_id=folder.pk)
    settle(pipeline)

    services.patch_entity(folder.pk, {"parent_id": new.pk})
    services.patch_entity(folder.pk, {"label": "another"})
    settle(pipeline)

    assert payload(photo, "ancestor_ids") == [[folder.pk, new.pk]]


def test_running_it_twice_writes_nothing(pipeline: Pipeline, writes: list[Any]) -> None:
    photo = make_photo(1)
    settle(pipeline)
    services.patch_entity(photo.pk, {"is_deleted": True})
    settle(pipeline)
    assert writes == [{"hidden": 1}] * 3  # clip, dino, faces
    marks.note([photo.pk])
    settle(pipeline)
    pipeline.processing.upkeep.sweep()
    assert len(writes) == 3


def test_a_crash_in_the_middle_leaves_the_marks(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = make_photo(1)
    settle(pipeline)
    services.patch_entity(photo.pk, {"is_deleted": True})
    pipeline.reconcile()

    def crash(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(Upkeep, "_bring_up", crash)
        with pytest.raises(ConnectionError):
            pipeline.processing.upkeep.follow_marks()
    assert payload(photo, "hidden") == [0]

    settle(pipeline)
    assert payload(photo, "hidden") == [1]


def test_many_are_followed_batch_by_batch(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "BATCH_SIZE", 2)
    folder = make_collection("folder")
    photos = [make_photo(seed, parent_id=folder.pk) for seed in range(5)]
    settle(pipeline)
    services.patch_entity(folder.pk, {"is_deleted": True})
    pipeline.reconcile()

    assert pipeline.processing.upkeep.follow_marks(seconds=0)
    settle(pipeline)

    assert [payload(photo, "hidden") for photo in photos] == [[1]] * 5


def test_what_keeps_coming_is_for_the_next_task(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = make_photo(1)
    settle(pipeline)
    bring_up, times = Upkeep._bring_up, 0

    def bring_up_while_more_comes(*args: Any) -> None:
        nonlocal times
        bring_up(*args)
        times += 1
        if times < 5:
            marks.note([photo.pk])

    monkeypatch.setattr(Upkeep, "_bring_up", bring_up_while_more_comes)
    marks.note([photo.pk])
    assert not pipeline.processing.upkeep.follow_marks()
    assert times == 1


def test_the_sweep_heals_what_slipped(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "BATCH_SIZE", 2)
    photos = [make_photo(seed) for seed in range(3)]
    settle(pipeline)
    for store in (get_clip_store(), get_dino_store()):
        store.set_payload([photo.pk for photo in photos], {"hidden": True, "ancestor_ids": [4711]})

    pipeline.processing.upkeep.sweep(seconds=0)
    assert [payload(photo, "hidden", "ancestor_ids") for photo in photos[:2]] == [[0, []]] * 2
    assert payload(photos[2], "hidden") == [1]
    assert EntitySyncState.objects.get().upkeep_swept_up_to == photos[1].pk

    pipeline.processing.upkeep.sweep()
    assert payload(photos[2], "hidden", "ancestor_ids") == [0, []]
    assert EntitySyncState.objects.get().upkeep_swept_up_to == 0


def test_vectors_of_before_get_what_they_lack(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    settle(pipeline)
    for store in (get_clip_store(), get_dino_store()):
        point = store.fetch_points([photo.pk])[photo.pk]
        bare = VectorPoint(point.id, point.vector, {"md5": photo.md5})
        store.upsert([bare], model=store.current_model() or "")

    pipeline.processing.upkeep.sweep()

    assert payload(photo, "hidden", "ancestor_ids", "mime_type") == [0, [], "image/jpeg"]


def test_it_does_the_queries_of_one_image(pipeline: Pipeline) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            pipeline.processing.upkeep.sweep()
        return len(captured)

    folder = make_collection("folder")
    make_photo(0, parent_id=folder.pk)
    settle(pipeline)
    few = queries()
    for seed in range(1, 8):
        make_photo(seed, parent_id=folder.pk)
    settle(pipeline)
    assert queries() == few
