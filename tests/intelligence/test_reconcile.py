from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from entities.models import Entity
from intelligence import hints, tasks
from intelligence.models import EntityJob, EntitySyncState, Face, ImageIntelligence
from intelligence.reconcile import MInsightProcessor, Pass
from intelligence.vocabulary import JobStatus, ProcessingStatus
from tests.factories import make_collection, make_photo, store
from tests.intelligence.pipeline import Pipeline, row_of
from vectors import get_clip_store, get_dino_store, get_face_store

pytestmark = pytest.mark.django_db(transaction=True)


def change(entity: Entity, **fields: object) -> Entity:
    """As a service does: the row and its history in one."""
    for name, value in fields.items():
        setattr(entity, name, value)
    entity.save()
    return entity


def test_it_works(pipeline: Pipeline) -> None:
    photo = make_photo(1)

    assert pipeline.reconcile() == 1

    row = row_of(photo.pk)
    assert (row.md5, row.image_path) == (photo.md5, photo.file_path)
    assert row.processing_status == ProcessingStatus.PENDING
    assert row.version == photo.history.get().history_id
    pipeline.catch_up()
    assert EntitySyncState.objects.get().last_version == row.version


def test_what_does_not_qualify(pipeline: Pipeline) -> None:
    make_collection()
    store(b"only text")
    change(make_photo(1), is_deleted=True)

    assert pipeline.reconcile() == 4
    assert not ImageIntelligence.objects.exists()


def test_running_it_twice_changes_nothing(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    before = row_of(photo.pk).updated_at

    EntitySyncState.objects.update(last_version=0, horizon_version=0)
    pipeline.reconcile()

    assert row_of(photo.pk).updated_at == before


def test_the_last_change_of_each_entity_counts(pipeline: Pipeline) -> None:
    photo = change(change(make_photo(1), label="a"), is_deleted=True)
    pipeline.reconcile()
    assert not ImageIntelligence.objects.exists()

    change(photo, is_deleted=False)
    pipeline.reconcile()
    assert row_of(photo.pk).processing_status == ProcessingStatus.PENDING


def test_a_new_label_asks_for_nothing(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()

    change(photo, label="new")
    pipeline.reconcile()

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_batches_smaller_than_the_history(pipeline: Pipeline) -> None:
    photos = [make_photo(seed) for seed in range(7)]
    processor = replace(pipeline.processing.processor, batch_size=2)

    assert processor.reconcile() == Pass(7, is_behind=False)
    assert ImageIntelligence.objects.count() == len(photos)


def test_a_long_history_leaves_time_to_others(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        make_photo(seed)
    processor = replace(pipeline.processing.processor, batch_size=2, seconds=0)
    monkeypatch.setattr(tasks, "get_processing", lambda: replace(pipeline.processing, processor=processor))
    asked: list[str] = []
    monkeypatch.setattr(hints, "send", lambda task, *_arguments, **_options: asked.append(task))

    tasks.reconcile()
    assert ImageIntelligence.objects.count() == 2
    assert asked == ["dispatch", "reconcile"]


def test_what_keeps_coming_is_for_the_next_pass(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is imported adds to the history as fast as it is read, a photo at a time."""
    apply, more = MInsightProcessor._apply, iter(range(2, 5))

    def apply_while_another_comes(*args: Any) -> None:
        apply(*args)
        if (seed := next(more, None)) is not None:
            make_photo(seed)

    monkeypatch.setattr(MInsightProcessor, "_apply", apply_while_another_comes)
    make_photo(1)
    assert pipeline.reconcile() == 1


def test_new_content_forgets_what_was_found_on_the_old(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    old_faces = set(Face.objects.values_list("pk", flat=True))
    assert get_face_store().count() == len(old_faces) == 2

    other = make_photo(2)
    fields = {name: getattr(other, name) for name in ("md5", "file_path")}
    Entity.objects.filter(pk=other.pk).delete()
    change(photo, **fields)
    pipeline.reconcile()

    assert row_of(photo.pk).processing_status == ProcessingStatus.PENDING
    assert get_clip_store().fetch([photo.pk]) == {}
    assert get_face_store().count() == 0
    pipeline.work()
    assert row_of(photo.pk).md5 == fields["md5"]
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert old_faces.isdisjoint(Face.objects.values_list("pk", flat=True))


def test_the_trash_stops_the_work_and_a_restore_resumes_it(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()

    change(photo, is_deleted=True)
    pipeline.work()
    assert set(EntityJob.objects.values_list("status", flat=True)) == {JobStatus.DISCARDED}
    assert get_clip_store().count() == 0

    change(photo, is_deleted=False)
    pipeline.work()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert get_clip_store().count() == 1


def test_a_removed_entity_leaves_nothing(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    crops = list(pipeline.processing.jobs.storage.media_root.rglob("faces/**/*.png"))
    assert len(crops) == 2

    photo.delete()
    pipeline.reconcile()

    assert not any(model.objects.exists() for model in (ImageIntelligence, EntityJob, Face))
    assert get_clip_store().count() == get_face_store().count() == 0
    assert not any(crop.exists() for crop in crops)


def test_a_rolled_back_upload_asks_for_nothing(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hints, "send", lambda task, *_arguments, **_options: asked.append(task))
    with transaction.atomic():
        make_photo(1)
        transaction.set_rollback(True)
    assert asked == []
    assert pipeline.reconcile() == 0

    with transaction.atomic():
        make_photo(1)
        assert asked == []
    assert asked == ["reconcile"]


def test_bulk_changes_with_history(pipeline: Pipeline) -> None:
    """Nobody announces them."""
    photos = [make_photo(seed) for seed in range(3)]
    pipeline.work()
    for photo in photos:
        photo.is_deleted = True
    bulk_update_with_history(photos, Entity, ["is_deleted"])
    bulk_create_with_history([_described(number) for number in range(3)], Entity)

    assert pipeline.reconcile() == 6
    assert ImageIntelligence.objects.filter(processing_status=ProcessingStatus.PENDING).count() == 3


def test_a_long_history_is_read_with_little_memory(pipeline: Pipeline) -> None:
    """All of it at once would take 4 MB."""
    bulk_create_with_history([_described(number) for number in range(3000)], Entity, batch_size=500)
    processor = replace(pipeline.processing.processor, batch_size=100, seconds=math.inf)

    tracemalloc.start()
    assert processor.reconcile().read == 3000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1_500_000
    assert ImageIntelligence.objects.count() == 3000


def _described(number: int) -> Entity:
    """A row as of a photo; nobody will ask for its file."""
    md5, now = f"{number:032x}", timezone.now()
    return Entity(
        is_collection=False,
        type="image",
        md5=md5,
        file_path=f"store/{md5}.jpg",
        file_size=1,
        width=1,
        height=1,
        mime_type="image/jpeg",
        extension="jpg",
        added_date=now,
        updated_date=now,
        create_date=now,
    )


def test_content_that_comes_back_is_looked_at_again(pipeline: Pipeline) -> None:
    """What was found on it the first time went when it was replaced."""
    photo, other = make_photo(1), make_photo(2)
    first, second = [{"md5": each.md5, "file_path": each.file_path} for each in (photo, other)]
    Entity.objects.filter(pk=other.pk).delete()
    for content in ({}, second, first):
        change(photo, **content)
        pipeline.work()

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert get_clip_store().count() == get_dino_store().count() == 1
    assert get_face_store().count() == Face.objects.count() == row_of(photo.pk).face_count == 2
